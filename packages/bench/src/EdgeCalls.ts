/** What the benchmark asks of an edge as people do: signing in, publishing, raising limits. */
interface Answer {
  readonly code: number
  readonly msg: string
  readonly data: any
}

/** The envelope's data; throws where the answer isn't a success. */
export const call = async (
  port: number,
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly token?: string } = {},
): Promise<any> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: {
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: AbortSignal.timeout(30_000),
  })
  const answer = (await response.json()) as Answer
  if (answer.code !== 0) {
    throw new Error(`${method} ${path} answered ${response.status}/${answer.code}: ${answer.msg}`)
  }
  return answer.data
}

/** A demo account of a development stack. */
export const signIn = async (port: number, username: string): Promise<string> =>
  (await call(port, "POST", "/login", { body: { username, password: `floodgate-${username}` } })).access_token

/** Signed in anew at this age (ms): a token lasts 15 minutes, a run longer. */
const RENEWED_MS = 10 * 60_000

/** A demo account that stays signed in: asked for its token each time. */
export const staff = (port: number, username: string): (() => Promise<string>) => {
  let token = ""
  let at = Number.NEGATIVE_INFINITY
  return async () => {
    if (performance.now() - at > RENEWED_MS) {
      token = await signIn(port, username)
      at = performance.now()
    }
    return token
  }
}
