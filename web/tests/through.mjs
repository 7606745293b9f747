// Leads a page's WebRTC through a proxy: answers name its port instead of the server's, and no way round it.
export function through(page, port) {
  return answers(page, (sdp) => sdp
    .replaceAll(/(a=candidate:\S+ 1 udp \d+ \S+) \d+/g, `$1 ${port}`)
    .replaceAll(/a=candidate:\S+ 1 tcp .*\r\n/g, ''))
}

// As where a network lets no UDP through: answers name the server's TCP port alone.
export function overTcp(page) {
  return answers(page, (sdp) => sdp.replaceAll(/a=candidate:\S+ 1 udp .*\r\n/g, ''))
}

async function answers(page, change) {
  await page.route(/\/wh[ie]p\//, async (route) => {
    if (route.request().method() !== 'POST') return route.continue()
    const response = await route.fetch()
    return route.fulfill({ response, body: change(await response.text()) })
  })
}
