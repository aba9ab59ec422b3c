/** The edge as its callers see it. */
import { randomUUID } from "node:crypto"
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

export class Edge {
  readonly url: string

  constructor(url: string) {
    this.url = url
  }

  async call(method: string, path: string, call: Call = {}): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
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
      async () => (await this.get(`/product/${product.id}`)).data.status === "live",
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
