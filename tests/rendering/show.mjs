// Shows pages in headless Chromium, as a mail client of that width and theme would.
//
// stdin: {"chromium": path, "folder": path, "clients": [glob], "pages": {name: html}}
// stdout: {"views": {"<page>-<view>": {"scroll_width", "width", "violations": [text], "buttons": [button]}},
//          "ignored": {feature: [client]}, "partly": [feature]}
// Writes <folder>/<page>-<view>.png for each.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { caniemail } from 'caniemail'
import { chromium } from 'playwright-core'

const VIEWS = {
  light: { colorScheme: 'light', viewport: { width: 700, height: 800 } },
  dark: { colorScheme: 'dark', viewport: { width: 700, height: 800 } },
  phone: { colorScheme: 'light', viewport: { width: 375, height: 800 } },
  'phone-dark': { colorScheme: 'dark', viewport: { width: 375, height: 800 } },
}
const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--disable-lcd-text', // grey edges of letters, whatever the screen
  '--font-render-hinting=none',
  '--force-color-profile=srgb',
]
// A mail stands inside the main landmark of the page of its client, and must not be a second one.
const NOT_OF_A_MAIL = { 'landmark-one-main': { enabled: false }, region: { enabled: false } }
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

async function look(browser, html, view, picture) {
  const page = await browser.newPage(VIEWS[view])
  await page.setContent(html)
  await page.screenshot({ path: picture, fullPage: true })
  const [scroll_width, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
  const buttons = await page.evaluate(look_at_buttons)
  await page.addScriptTag({ path: AXE })
  const { violations } = await page.evaluate((rules) => axe.run({ rules }), NOT_OF_A_MAIL)
  await page.close()
  const said = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`))
  return { scroll_width, width, violations: said, buttons }
}

// Each link in the list: its size in pixels, its name, whether a click on its middle hits it, and what it stands below.
function look_at_buttons() {
  return [...document.querySelectorAll('.list .why a')].map((link) => {
    link.scrollIntoView({ block: 'center' })
    const { left, top, width, height } = link.getBoundingClientRect()
    return {
      name: link.getAttribute('aria-label'),
      width,
      height,
      is_hit: document.elementFromPoint(left + width / 2, top + height / 2) === link,
      is_below: top >= link.closest('tr').cells[0].getBoundingClientRect().bottom,
    }
  })
}

// What of the page a client does not know, and what some client knows in part.
function support(html, clients) {
  const { errors, warnings } = caniemail({ clients, html }).issues
  const ignored = {}
  for (const [client, issues] of errors ?? [])
    for (const { title } of issues) (ignored[title] ??= new Set()).add(client)
  const partly = new Set([...(warnings ?? []).values()].flat().map(({ title }) => title))
  return {
    ignored: Object.fromEntries(Object.entries(ignored).map(([title, names]) => [title, [...names].sort()])),
    partly: [...partly].sort(),
  }
}

const { chromium: executablePath, folder, clients, pages } = JSON.parse(readFileSync(0, 'utf8'))
const browser = await chromium.launch({ executablePath, args: FLAGS, chromiumSandbox: false })
const views = {}
for (const [name, html] of Object.entries(pages))
  for (const view of Object.keys(VIEWS))
    views[`${name}-${view}`] = await look(browser, html, view, `${folder}/${name}-${view}.png`)
await browser.close()
console.log(JSON.stringify({ views, ...support(Object.values(pages).join('\n'), clients) }))
