/** Opaque tokens of keyset pages, newest first: the place after which the next page begins. */

export interface Place {
  readonly atMs: number
  readonly id: string
}

const TOKEN = /^p1:(\d{1,15}):([A-Za-z0-9_]{1,64})$/

export const encode = ({ atMs, id }: Place): string =>
  Buffer.from(`p1:${atMs}:${id}`, "latin1").toString("base64url")

/** Undefined for a token that isn't one of ours. */
export const decode = (token: string): Place | undefined => {
  const [, atMs, id] = TOKEN.exec(Buffer.from(token, "base64url").toString("latin1")) ?? []
  return atMs === undefined || id === undefined ? undefined : { atMs: Number(atMs), id }
}
