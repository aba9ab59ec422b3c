/**
 * The one client of this page and who is signed in. Tokens live in `sessionStorage`: they end with the tab, and no
 * other tab reads them.
 */
import { type Client, createClient, type Session } from "@floodgate/client/Client"
import * as Tokens from "@floodgate/client/Tokens"
import { useSyncExternalStore } from "react"
import { language } from "../texts/Language.tsx"

export type User = Session["user"]

const USER = "floodgate.user"
const DEVICE = "floodgate.device"

const readUser = (): User | undefined => {
  try {
    const user = JSON.parse(sessionStorage.getItem(USER) ?? "null")
    return typeof user?.id === "number" && typeof user.username === "string" ? user : undefined
  } catch {
    return undefined
  }
}

const deviceId = (): string => {
  const known = localStorage.getItem(DEVICE)
  if (known !== null) return known
  const made = crypto.randomUUID()
  localStorage.setItem(DEVICE, made)
  return made
}

const tokens = Tokens.inStorage(sessionStorage, "floodgate.session")
let user = tokens.get() === undefined ? undefined : readUser()
const listeners = new Set<() => void>()

const become = (next: User | undefined): void => {
  user = next
  if (next === undefined) sessionStorage.removeItem(USER)
  else sessionStorage.setItem(USER, JSON.stringify(next))
  for (const listener of listeners) listener()
}

export const client: Client = createClient({
  baseUrl: "",
  tokens,
  deviceId: deviceId(),
  // Set here and not once and for all: people change the language while the page is open.
  fetch: (request) => {
    request.headers.set("accept-language", language())
    return fetch(request)
  },
  onSignedOut: () => become(undefined),
})

export const currentUser = (): User | undefined => user

/** Calls back at each change of who is signed in, until the returned function is called. */
export const onUser = (listener: () => void): (() => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Who is signed in; undefined: nobody. */
export const useUser = (): User | undefined => useSyncExternalStore(onUser, currentUser)

export const signIn = async (username: string, password: string): Promise<void> => {
  become(await client.login(username, password))
}

/** Creates the account and signs in. */
export const signUp = async (username: string, password: string): Promise<void> => {
  await client.register(username, password)
  await signIn(username, password)
}

/** Ends the session here whatever the edge says. */
export const signOut = async (): Promise<void> => {
  const ending = client.logout()
  become(undefined)
  // The tokens are gone from here; without an answer the edge's copy ends by itself.
  await ending.catch(() => undefined)
}
