/** Whether an address is one that a link may lead to: a page of the web, and no script. */
export const isPayUrl = (text: string | undefined): text is string =>
  text !== undefined && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
