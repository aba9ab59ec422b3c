/** The edge as its callers see it. */
import { createHash, randomUUID } from "node:crypto"
import { poll } from "./Poll.ts"

export interface Answer {
  readonly status: number
  readonly code: number
  readonly msg: string
  readonly data: any
  readonly headers: Headers
}

export interface Call {
  readonly body?: unknown
  readonly token?: string
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  /** How long to wait for the answer; default 30 s. */
  readonly timeoutMs?: number
}

export interface Order {
  readonly id: number | null
  readonly order_num: string
  readonly state: string
  readonly status: number | null
  readonly amount: number
  readonly [field: string]: unknown
}

/** 10.0.0.0/8, which the stack's edges believe loopback about: so one machine is a crowd, as limits see it. */
const addressOf = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`

/**
 * A machine that is busy with other things says so (503), and is asked again: for what isn't about how fast it is. Takes
 * what `Edge.ask` and what is made of it fail with.
 */
export const patiently = <A>(what: string, ask: () => Promise<A>): Promise<A> =>
  poll(what, () =>
    ask().catch((error: Error) => {
      if (/answered 503/.test(error.message)) return undefined
      throw error
    }),
  )

let strangers = 0

/** An account has one address, whoever isn't signed in a new one each time. */
const addressFor = (token: string | undefined): string =>
  addressOf(
    token === undefined
      ? ++strangers
      : createHash("sha256")
          .update(/^[^.]*\.([^.]*)/.exec(token)?.[1] ?? token)
          .digest()
          .readUInt32BE(),
  )

export class Edge {
  readonly url: string

  constructor(url: string) {
    this.url = url
  }

  async call(method: string, path: string, call: Call = {}): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        "x-forwarded-for": addressFor(call.token),
        ...(call.body === undefined ? {} : { "content-type": "application/json" }),
        ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
        ...(call.key === undefined ? {} : { "idempotency-key": call.key }),
        ...call.headers,
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      signal: AbortSignal.timeout(call.timeoutMs ?? 30_000),
    })
    return { status: response.status, headers: response.headers, ...((await response.json()) as any) }
  }

  get(path: string, call?: Call): Promise<Answer> {
    return this.call("GET", path, call)
  }

  post(path: string, body: unknown, call?: Omit<Call, "body">): Promise<Answer> {
    return this.call("POST", path, { ...call, body })
  }

  /** As `post`, for what has to succeed: answers the envelope's data. */
  async ask(path: string, body: unknown, call?: Omit<Call, "body">): Promise<any> {
    const answer = await this.post(path, body, call)
    if (answer.code !== 0)
      throw new Error(
        `${path} answered ${answer.status}/${answer.code}: ${answer.msg} ${JSON.stringify(answer.data)}`,
      )
    return answer.data
  }

  /** Raises limits as an operator of a benchmark does: no check is off. */
  async raiseLimits(...names: ReadonlyArray<string>): Promise<void> {
    const { token } = await this.demo("admin")
    for (const name of names) {
      const body = { rate: 1_000_000, burst: 1_000_000, reason: "a test that comes as one buyer" }
      const answer = await this.call("PUT", `/admin/limits/${name}`, { body, token })
      if (answer.code !== 0) throw new Error(`${name} answered ${answer.status}/${answer.code}`)
    }
  }

  async login(username: string, password: string): Promise<{ token: string; id: number }> {
    const session = await this.ask("/login", { username, password })
    return { token: session.access_token, id: session.user.id }
  }

  /** A demo account of a development stack. */
  demo(name: string): Promise<{ token: string; id: number }> {
    return this.login(name, `floodgate-${name}`)
  }

  /** A new account, signed in. */
  async newcomer(): Promise<{ token: string; id: number; username: string }> {
    const username = `t_${randomUUID().replaceAll("-", "").slice(0, 20)}`
    const password = `pw-${randomUUID()}`
    await this.ask("/register", { username, password })
    return { username, ...(await this.login(username, password)) }
  }

  /** Publishes a product that starts `inMs` from now, and waits until it is live. */
  async publish(fields: Readonly<Record<string, unknown>> = {}, inMs = 1500): Promise<any> {
    const { token } = await this.demo("operator")
    const product = await this.ask(
      "/products",
      {
        name: `product ${randomUUID()}`,
        price: 9900,
        stock: 10,
        start_time: new Date(Date.now() + inMs).toISOString(),
        ...fields,
      },
      { token },
    )
    await poll(
      `product ${product.id} is live`,
      async () => (await this.get(`/product/${product.id}`)).data?.status === "live",
    )
    return product
  }

  /** The order, once it is in this state. */
  settled(order_num: string, token: string, ...states: ReadonlyArray<string>): Promise<Order> {
    return poll(`order ${order_num} is ${states.join(" or ")}`, async () => {
      const answer = await this.get(`/orders/${order_num}`, { token })
      if (answer.code === 0 && states.includes(answer.data.state)) return answer.data as Order
      if (answer.status < 500 && answer.code !== 0)
        throw new Error(`order answered ${answer.status}/${answer.code}`)
      return undefined
    })
  }
}
