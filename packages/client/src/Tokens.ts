/** The session's two tokens: kept where the application says, refreshed once however many calls find them expired. */

/** What signing in gave. */
export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

/** Where tokens are kept. A page may keep them in memory or in `sessionStorage`; a server has one a user. */
export interface TokenStore {
  readonly get: () => Tokens | undefined
  readonly set: (tokens: Tokens | undefined) => void
}

/** Forgets them with the page or the process. */
export const inMemory = (tokens?: Tokens): TokenStore => {
  let held = tokens
  return {
    get: () => held,
    set: (next) => {
      held = next
    },
  }
}

/** `localStorage` or `sessionStorage`, under one key; unreadable content counts as none. */
export const inStorage = (
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">,
  key: string,
): TokenStore => ({
  get: () => {
    try {
      const { access_token, refresh_token } = JSON.parse(storage.getItem(key) ?? "null") ?? {}
      return typeof access_token === "string" && typeof refresh_token === "string"
        ? { access_token, refresh_token }
        : undefined
    } catch {
      return undefined
    }
  },
  set: (tokens) => {
    if (tokens === undefined) storage.removeItem(key)
    else
      storage.setItem(
        key,
        JSON.stringify({ access_token: tokens.access_token, refresh_token: tokens.refresh_token }),
      )
  },
})
