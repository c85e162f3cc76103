// The demo's HTML: one page and one error page, made by a template tag that escapes every value.
// @ts-check
import { createHash } from 'node:crypto'

const SHOWN_ID_CHARACTERS = 6

const STYLE = `
:root {
  color-scheme: light dark;
  --text: #23272e; --muted: #5c6470; --back: #f7f7f5; --card: #fff; --line: #dcdedb;
  --accent: #2a5f9e; --on-accent: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #dfe2e6; --muted: #9aa3ae; --back: #17191c; --card: #1f2226; --line: #363b42;
    --accent: #8db8ea; --on-accent: #10151b;
  }
}
* { box-sizing: border-box }
body {
  max-width: 42rem; margin: 0 auto; padding: 2rem 1rem 4rem;
  font: 1rem/1.55 system-ui, sans-serif; color: var(--text); background: var(--back);
}
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 0 0 .75rem }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem }
p { margin: .5rem 0 }
section {
  margin-top: 1.25rem; padding: 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem;
}
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--muted); padding-bottom: .25rem }
th, td {
  padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top; font-weight: normal;
  border-top: 1px solid var(--line); overflow-wrap: anywhere;
}
th { color: var(--muted) }
form, .buttons { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end }
td form { justify-content: end }
label { display: grid; gap: .2rem; flex: 1 1 8rem; color: var(--muted) }
input, button { font: inherit; padding: .4rem .7rem; border-radius: .35rem }
input { width: 100%; color: var(--text); background: var(--back); border: 1px solid var(--line) }
button { color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); cursor: pointer }
button.quiet { color: var(--accent); background: none; border-color: var(--line) }
td button { padding: .05rem .5rem }
button:disabled { opacity: .5; cursor: default }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
meter { width: 100% }
.muted { color: var(--muted) }
[hidden] { display: none }
`

/** What the Content-Security-Policy must name for the one inline stylesheet. */
export const STYLE_HASH = `sha256-${createHash('sha256').update(STYLE).digest('base64')}`

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text that is HTML already. */
class Markup {
  /** @param {string} text */
  constructor (text) {
    this.text = text
  }
}

/**
 * @param {TemplateStringsArray} strings
 * @param {...unknown} values
 */
function html (strings, ...values) {
  return new Markup(String.raw({ raw: strings }, ...values.map(toHtml)))
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function toHtml (value) {
  if (value instanceof Markup) return value.text
  if (Array.isArray(value)) return value.map(toHtml).join('')
  return String(value ?? '').replace(/[&<>"']/g, (character) => ESCAPES[character])
}

/**
 * @param {{ session: any, stats: Record<string, string | number>, workMs: number }} view
 */
export function renderPage ({ session, stats, workMs }) {
  return layout('fastify-locked-session', html`
<p class="muted">A session on the file store. Open this page in two tabs: both see the same one.</p>
${sessionSection(session)}
${dataSection(session)}
${userSection(session)}
${raceSection(session, workMs)}
${statsSection(stats)}
<script src="/app.js" type="module"></script>`)
}

/**
 * @param {number} status
 * @param {string} message
 */
export function renderError (status, message) {
  return layout(`Error ${status}`, html`<p>${message}</p><p><a href="/">Back to the session</a></p>`)
}

/**
 * @param {string} title
 * @param {Markup} main
 */
function layout (title, main) {
  // The empty icon keeps browsers from asking for /favicon.ico.
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${main}
</main>
</body>
</html>
`.text
}

function sessionSection (session) {
  // An id is as good as a password: the beginning is enough to see it change at login.
  const id = session.id
    ? `${session.id.slice(0, SHOWN_ID_CHARACTERS)}…`
    : 'none yet: made when this visit is saved'
  const rows = [
    ['Id', id],
    ['New', session.isNew ? 'yes' : 'no'],
    ['User', session.user ?? 'nobody logged in'],
    ['Visits', session.get('visits')],
    ['Created', time(session.createdAt)],
    ['Last accessed', time(session.lastAccessedAt)],
    ['Expires', time(session.expiresAt)]
  ]
  return html`
<section aria-labelledby="session-title">
<h2 id="session-title">Session</h2>
<table>
${rows.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>
`)}</table>
</section>`
}

function dataSection (session) {
  const rows = [...session.entries()].map(([key, value]) => html`
<tr>
<th scope="row">${key}</th>
<td${key === 'counter' ? html` data-counter` : ''}>${show(value)}</td>
<td><form method="post" action="/data/remove">
<input type="hidden" name="key" value="${key}">
<button class="quiet" aria-label="Remove ${key}">Remove</button>
</form></td>
</tr>`)
  return html`
<section aria-labelledby="data-title">
<h2 id="data-title">Data</h2>
<table>
<thead><tr><th scope="col">Key</th><th scope="col">Value</th><td></td></tr></thead>
<tbody>${rows}</tbody>
</table>
<form method="post" action="/data">
<label>Key <input name="key" required maxlength="100" autocomplete="off"></label>
<label>Value <input name="value" maxlength="1000" autocomplete="off"></label>
<button>Set</button>
</form>
</section>`
}

function userSection (session) {
  const body = session.user
    ? html`
<p>Logged in as <strong>${session.user}</strong>. Logging out destroys the session.</p>
<form method="post" action="/logout"><button>Log out</button></form>`
    : html`
<p>Logging in gives the session a new id and keeps nothing but the visits.</p>
<form method="post" action="/login">
<label>Name <input name="name" required maxlength="100" autocomplete="username"></label>
<button>Log in</button>
</form>`
  return html`
<section aria-labelledby="user-title">
<h2 id="user-title">User</h2>${body}
</section>`
}

function raceSection (session, workMs) {
  return html`
<section aria-labelledby="race-title">
<h2 id="race-title">Ten requests at once</h2>
<p>Each request reads the counter, works for ${workMs} ms and writes the counter plus one.
The counter is now <strong data-counter>${show(session.get('counter', 0))}</strong>.</p>
<p class="muted">This plugin refuses writes without the lock, so “without” does what plugins without
locks do: it reads the counter outside the lock and writes what it read plus one, over whatever the
other requests wrote meanwhile.</p>
<div class="buttons">
<button type="button" data-run="/count/locked" disabled>Ten with the lock</button>
<button type="button" data-run="/count/unlocked" disabled>Ten without</button>
</div>
<noscript><p>These two buttons need JavaScript; everything else works without.</p></noscript>
<p id="run-status" role="status"></p>
<div id="result" hidden>
<table>
<caption>Counter</caption>
<thead><tr><th scope="col">Before</th><th scope="col">After</th><th scope="col">Expected</th><th scope="col">Lost</th></tr></thead>
<tbody><tr><td id="before"></td><td id="after"></td><td id="expected"></td><td id="lost"></td></tr></tbody>
</table>
<h3>Time of each request</h3>
<p class="muted">As the browser sees it. Most browsers send at most six at a time to one server, so
the last four may also have waited for a connection.</p>
<table>
<thead><tr><th scope="col">Request</th><th scope="col">ms</th><td></td></tr></thead>
<tbody id="times"></tbody>
</table>
</div>
</section>`
}

function statsSection (stats) {
  return html`
<section aria-labelledby="stats-title">
<h2 id="stats-title">Lock and store</h2>
<p class="muted">Everything this server has counted since it started, also as
<a href="/stats">JSON</a>.</p>
<table>
<thead><tr><th scope="col">Counter</th><th scope="col">Before the run</th><th scope="col">Now</th></tr></thead>
<tbody id="stats">${Object.entries(stats).map(([name, value]) => html`
<tr><th scope="row">${name}</th><td>–</td><td>${value}</td></tr>`)}</tbody>
</table>
</section>`
}

function show (value) {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** @param {Date | number | null | undefined} value */
function time (value) {
  const date = new Date(value ?? NaN)
  if (Number.isNaN(date.getTime())) return '–'
  const text = date.toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short'
  })
  return html`<time datetime="${date.toISOString()}">${text}</time>`
}
