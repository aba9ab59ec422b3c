/** Opaque tokens of keyset pages: the id after which the next page begins, newest first. */

const PREFIX = "w1."

export const encode = (lastId: number): string =>
  Buffer.from(`${PREFIX}${lastId}`, "latin1").toString("base64url")

/** The id, or undefined for a token that isn't one of ours. */
export const decode = (token: string): number | undefined => {
  const text = Buffer.from(token, "base64url").toString("latin1")
  const id = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : ""
  return /^[1-9]\d{0,15}$/.test(id) && encode(Number(id)) === token ? Number(id) : undefined
}
