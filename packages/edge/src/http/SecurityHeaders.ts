/**
 * What browsers are told on every answer. An answer of the API is data: nothing in it is to be run, framed, or guessed
 * to be of another type, and its address is nobody else's business. Pages say their own policy over this one.
 */

export type SecurityHeaders = Readonly<Record<string, string>>

const always: SecurityHeaders = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
}

/** `hsts`: outside dev, where the proxy in front speaks TLS; a browser remembers it for a year. */
export const make = (hsts: boolean): SecurityHeaders =>
  hsts ? { ...always, "strict-transport-security": "max-age=31536000; includeSubDomains" } : always
