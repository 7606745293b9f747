// Leads a page's WebRTC through a proxy: answers name its port instead of the server's, and no way round it.
export async function through(page, port) {
  await page.route(/\/wh[ie]p\//, async (route) => {
    if (route.request().method() !== 'POST') return route.continue()
    const response = await route.fetch()
    const answer = await response.text()
    const body = answer.replaceAll(/(a=candidate:\S+ 1 udp \d+ \S+) \d+/g, `$1 ${port}`).replaceAll(/a=candidate:\S+ 1 tcp .*\r\n/g, '')
    return route.fulfill({ response, body })
  })
}
