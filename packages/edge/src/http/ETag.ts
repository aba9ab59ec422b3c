/** Whether the client's copy is the current one (RFC 9110 §13.1.2, weak comparison). */
export const isCurrent = (ifNoneMatch: string | undefined, etag: string): boolean => {
  if (ifNoneMatch === undefined) return false
  const opaque = (tag: string) => tag.trim().replace(/^W\//, "")
  return ifNoneMatch.trim() === "*" || ifNoneMatch.split(",", 20).some((tag) => opaque(tag) === opaque(etag))
}
