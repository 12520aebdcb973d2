// Opens mails in Roundcube, in headless Chromium.
//
// stdin: {"chromium": path, "url": of Roundcube, "mailbox", "password", "folder": path,
//         "mails": [{"name", "pictured": whether to take pictures}], as they lie in INBOX}
// stdout: {name: {"links": {"html": [[href, text]], "text": ...}, "views": {view: {...}}}}
// Writes <folder>/roundcube-<name>-<view>.png for each.

import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'

const VIEWS = {
  light: { colorScheme: 'light', viewport: { width: 1000, height: 900 } },
  dark: { colorScheme: 'dark', viewport: { width: 1000, height: 900 } },
  narrow: { colorScheme: 'light', viewport: { width: 375, height: 900 } },
}

// What the pane of a mail shows. Roundcube writes its own letters before the names of our classes.
function seen() {
  const one = (selector) => document.querySelector(`#messagebody ${selector}`)
  const style = (selector) => getComputedStyle(one(selector))
  const pane = document.querySelector('#messagebody')
  const tag = document.querySelector('#messagebody td[class$="why"] span')
  const widest = (element) => Math.max(...[element, ...element.querySelectorAll('*')].map((each) => each.scrollWidth))
  return {
    width: pane.clientWidth,
    widest: widest(pane),
    page_width: innerWidth,
    page_widest: document.documentElement.scrollWidth,
    page: style('table[class$="page"]').backgroundColor,
    card: style('td[class$="card"]').backgroundColor,
    card_border: style('td[class$="card"]').borderTopWidth,
    tag: tag && getComputedStyle(tag).backgroundColor,
    tag_radius: tag && getComputedStyle(tag).borderTopLeftRadius,
    title_is_above: tag && one('h2').getBoundingClientRect().bottom <= one('table[class$="list"]').getBoundingClientRect().top,
  }
}

const { chromium: executablePath, url, mailbox, password, folder, mails } = JSON.parse(readFileSync(0, 'utf8'))
const browser = await chromium.launch({
  executablePath,
  args: ['--disable-gpu', '--hide-scrollbars', '--disable-lcd-text', '--font-render-hinting=none'],
  chromiumSandbox: false,
})
const found = Object.fromEntries(mails.map(({ name }) => [name, { links: {}, views: {} }]))
for (const [view, options] of Object.entries(VIEWS)) {
  const page = await browser.newPage(options)
  await page.goto(url)
  await page.fill('#rcmloginuser', mailbox)
  await page.fill('#rcmloginpwd', password)
  await page.click('#rcmloginsubmit')
  await page.waitForURL(/_task=mail/)
  const open = async (uid, format) => {
    await page.goto(`${url}/?_task=mail&_mbox=INBOX&_uid=${uid}&_action=show&_format=${format}`)
    await page.waitForSelector(`#messagebody ${format === 'html' ? 'table' : 'div.pre'}`)
  }
  for (const [place, { name, pictured }] of mails.entries()) {
    if (view === 'light')
      for (const format of ['text', 'html']) {
        await open(place + 1, format)
        found[name].links[format] = await page.$$eval('#messagebody a[href]', (links) =>
          // Roundcube moves the subject of a mailto: link into the click that opens its own composer.
          links.map((link) => {
            const composed = /command\('compose','([^']*)',this\)/.exec(link.getAttribute('onclick'))
            return [composed ? `mailto:${composed[1]}` : link.getAttribute('href'), link.textContent]
          }),
        )
      }
    if (!pictured) continue
    await open(place + 1, 'html')
    found[name].views[view] = await page.evaluate(seen)
    // The pane scrolls inside the page: the picture is as high as what is in it.
    const height = await page.evaluate(() => document.querySelector('#messagebody').scrollHeight + 400)
    await page.setViewportSize({ ...options.viewport, height })
    await page.screenshot({ path: `${folder}/roundcube-${name}-${view}.png` })
    await page.setViewportSize(options.viewport)
  }
  await page.close()
}
await browser.close()
console.log(JSON.stringify(found))
