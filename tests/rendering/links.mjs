// Lets the linkers that mail programs and web mail are built on look for links, each with all that it can find on.
//
// stdin: {"texts": [plain text], "pages": [html]}
// stdout: {linker: [what it would link]}

import { readFileSync } from 'node:fs'
import { Autolinker } from 'autolinker'
import * as linkify from 'linkifyjs'
import 'linkify-plugin-hashtag'
import 'linkify-plugin-ip'
import 'linkify-plugin-mention'
import 'linkify-plugin-ticket'
import linkifyHtml from 'linkify-html'
import { LinkifyIt } from 'linkify-it'
import tlds from 'tlds' with { type: 'json' }

const it = new LinkifyIt({ fuzzyLink: true, fuzzyIP: true, fuzzyEmail: true, '---': true }).tlds(tlds)
for (const scheme of ['ftp:', 'tel:', 'sms:', 'sip:', 'news:', 'file:', 'magnet:', 'javascript:', 'data:', 'xmpp:'])
  it.add(scheme, { validate: (text, at) => /^\S+/.exec(text.slice(at))?.[0].length ?? 0 })
for (const scheme of ['tel', 'sms', 'sip', 'news', 'magnet', 'javascript', 'xmpp', 'data'])
  linkify.registerCustomProtocol(scheme, true)

const OPTIONS = [
  { urls: true, email: true, phone: true, mention: 'twitter', hashtag: 'twitter', sanitizeHtml: false },
  { urls: true, email: true, phone: true, mention: 'tiktok', hashtag: 'facebook', sanitizeHtml: false },
]
// The texts of the links that a linker adds to those of the page itself.
const anchors = (html) => [...html.matchAll(/<a [^>]*>(.*?)<\/a>/gs)]
const added = (before, after) => {
  const own = new Set(anchors(before).map(([anchor]) => anchor))
  return anchors(after).flatMap(([anchor, text]) => (own.has(anchor) ? [] : [text]))
}

const { texts, pages } = JSON.parse(readFileSync(0, 'utf8'))
const found = {
  'linkify-it': texts.flatMap((text) => (it.match(text) ?? []).map((match) => match.raw)),
  linkifyjs: texts.flatMap((text) => linkify.find(text).map((match) => match.value)),
  autolinker: texts.flatMap((text) =>
    OPTIONS.flatMap((options) => Autolinker.parse(text, options).map((match) => match.getMatchedText())),
  ),
  'linkify-html': pages.flatMap((page) => added(page, linkifyHtml(page))),
  'autolinker, of HTML': pages.flatMap((page) => OPTIONS.flatMap((options) => added(page, Autolinker.link(page, options)))),
}
console.log(JSON.stringify(found))
