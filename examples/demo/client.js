// The browser's part of the demo: fires ten requests at once and shows what became of the counter.
// @ts-check
/// <reference lib="dom" />
const REQUESTS = 10

/** @type {NodeListOf<HTMLButtonElement>} */
const buttons = document.querySelectorAll('button[data-run]')
for (const button of buttons) {
  button.addEventListener('click', () => run(button))
  button.disabled = false
}

/** @param {HTMLButtonElement} pressed */
async function run (pressed) {
  setDisabled(true)
  setText('run-status', 'Running …')
  try {
    const before = await getCounter()
    const statsBefore = await getJson('/stats')
    const times = await Promise.all(
      Array.from({ length: REQUESTS }, () => timedPost(pressed.dataset.run))
    )
    const after = await getCounter()
    showCounter(before, after)
    showTimes(times)
    showStats(statsBefore, await getJson('/stats'))
    const failed = times.filter(({ problem }) => problem).length
    const lost = before + REQUESTS - after
    setText('run-status', `${pressed.textContent}: the counter rose by ${after - before}, ` +
      `${lost} of ${REQUESTS} were lost` + (failed ? `, ${failed} failed.` : '.'))
  } catch (error) {
    setText('run-status', `The run failed: ${error.message}`)
  } finally {
    setDisabled(false)
    // A disabled button loses the keyboard's focus.
    pressed.focus()
  }
}

/** @param {string} url */
async function timedPost (url) {
  const start = performance.now()
  let problem = ''
  try {
    const response = await fetch(url, { method: 'POST' })
    // The time counts until the whole answer is there.
    await response.text()
    if (!response.ok) problem = `status ${response.status}`
  } catch (error) {
    problem = error.message
  }
  return { ms: Math.round(performance.now() - start), problem }
}

async function getCounter () {
  return (await getJson('/counter')).counter
}

/** @param {string} url */
async function getJson (url) {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} answered with status ${response.status}`)
  return response.json()
}

function showCounter (before, after) {
  const expected = before + REQUESTS
  setText('before', before)
  setText('after', after)
  setText('expected', expected)
  setText('lost', expected - after)
  for (const element of document.querySelectorAll('[data-counter]')) element.textContent = after
  document.getElementById('result').hidden = false
}

function showTimes (times) {
  const longest = Math.max(...times.map(({ ms }) => ms))
  document.getElementById('times').replaceChildren(...times.map(({ ms, problem }, index) => {
    const bar = document.createElement('meter')
    bar.max = longest
    bar.value = ms
    // The number stands beside it.
    bar.ariaHidden = 'true'
    return row(index + 1, problem ? `${ms} (${problem})` : ms, bar)
  }))
}

function showStats (before, now) {
  document.getElementById('stats').replaceChildren(
    ...Object.entries(now).map(([name, value]) => row(name, before[name] ?? '–', value))
  )
}

/** Text is set as text, never as HTML. */
function row (head, ...cells) {
  const tr = document.createElement('tr')
  const th = document.createElement('th')
  th.scope = 'row'
  th.append(head)
  tr.append(th, ...cells.map((cell) => {
    const td = document.createElement('td')
    td.append(cell)
    return td
  }))
  return tr
}

function setText (id, text) {
  document.getElementById(id).textContent = text
}

function setDisabled (disabled) {
  for (const button of buttons) button.disabled = disabled
}
