/**
 * Wishes and payments that may still be on their way, by name, in `sessionStorage`: after a reload they go on under the
 * same idempotency key, so that they never happen twice. Bound to whoever is signed in.
 */
import { currentUser, onUser } from "./Session.ts"

const PREFIX = "floodgate.kept."

const keyOf = (name: string): string => `${PREFIX}${currentUser()?.id ?? 0}.${name}`

export const keep = (name: string, value: unknown): void => {
  sessionStorage.setItem(keyOf(name), JSON.stringify(value))
}

/** What was kept under this name where it fits; undefined where nothing was, or something unreadable. */
export const kept = <A>(name: string, fits: (value: unknown) => value is A): A | undefined => {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(keyOf(name)) ?? "null")
    return fits(value) ? value : undefined
  } catch {
    return undefined
  }
}

export const forget = (name: string): void => sessionStorage.removeItem(keyOf(name))

const isText = (value: unknown): value is string => typeof value === "string"

/** The idempotency key of this name: the one kept, or a new one, which is kept. */
export const keyFor = (name: string): string => {
  const known = kept(name, isText)
  if (known !== undefined) return known
  const made = crypto.randomUUID()
  keep(name, made)
  return made
}

// Nothing of a session outlives it.
onUser(() => {
  if (currentUser() !== undefined) return
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key)
})
