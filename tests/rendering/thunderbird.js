// Run inside Thunderbird, with the rights of its own windows: each function is called by its name.

// Show a mail in a window of its own. width: of the window, in pixels. isDark: the theme of the desktop.
function open(path, isPlain, width, isDark) {
  for (const window of Services.wm.getEnumerator('mail:messageWindow')) window.close()
  Services.prefs.setBoolPref('mailnews.display.prefer_plaintext', isPlain)
  Services.prefs.setIntPref('ui.systemUsesDarkTheme', isDark ? 1 : 0)
  const file = Cc['@mozilla.org/file/local;1'].createInstance(Ci.nsIFile)
  file.initWithPath(path)
  const uri = Services.io.newFileURI(file).mutate().setQuery('type=application/x-message-display').finalize()
  Services.wm
    .getMostRecentWindow('mail:3pane')
    .openDialog('chrome://messenger/content/messageWindow.xhtml', '_blank', `all,chrome,dialog=no,width=${width},height=1000`, uri)
}

// What the window shows; null until it shows the mail of this file.
function look(name) {
  const shown = Services.wm.getMostRecentWindow('mail:messageWindow')?.messageBrowser?.contentWindow
  const browser = shown?.msgLoaded && shown.getMessagePaneBrowser()
  if (!browser?.currentURI?.spec.includes(name) || browser.contentDocument?.readyState !== 'complete') return null
  const { contentDocument: page, contentWindow } = browser
  const style = (selector) => page.querySelector(selector) && contentWindow.getComputedStyle(page.querySelector(selector))
  const [title, list] = ['h2', 'table.list'].map((selector) => page.querySelector(selector))
  return {
    links: Array.from(page.links, (link) => [link.getAttribute('href'), link.textContent]),
    offers: shown.gMessageNotificationBar.msgNotificationBar.allNotifications.map((bar) => bar.getAttribute('value')),
    width: contentWindow.innerWidth,
    widest: page.documentElement.scrollWidth,
    ink: style('p')?.color ?? null,
    page: style('table.page')?.backgroundColor ?? null,
    card: style('td.card')?.backgroundColor ?? null,
    card_border: style('td.card')?.borderTopWidth ?? null,
    tag: style('td.why span')?.backgroundColor ?? null,
    tag_radius: style('td.why span')?.borderTopLeftRadius ?? null,
    title_is_above: list && title.getBoundingClientRect().bottom <= list.getBoundingClientRect().top,
  }
}
