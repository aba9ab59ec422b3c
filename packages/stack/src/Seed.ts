/**
 * Demo data of a development stack: accounts with their roles and wallets, a few products, and an experiment of each
 * kind, made through the services' own doors. Every step can be repeated: what exists is left alone.
 */

import { WalletEntryKind } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { demoAccounts, demoPassword } from "./Accounts.ts"
import * as EdgeHttp from "./EdgeHttp.ts"
import { runEffect } from "./RunEffect.ts"

/** Where the services are, and the key under which the stack calls identity as a service. */
export interface Target {
  /** Base URL of the edge. */
  readonly edge: string
  /** `host:port` of identity. */
  readonly identity: string
  readonly serviceKey: string
}

interface DemoProduct {
  readonly name: string
  readonly description: string
  readonly price: number
  readonly original_price: number
  readonly stock: number
  readonly per_user_limit: number
  readonly startsInMs: number
  readonly lastsMs: number
}

const secondMs = 1000
const hourMs = 3_600_000
const dayMs = 24 * hourMs

const demoProducts: ReadonlyArray<DemoProduct> = [
  {
    name: "Aurora headphones",
    description: "Wireless, closed-back, 40 hours. The sale opens moments after the stack is up.",
    price: 19_900,
    original_price: 59_900,
    stock: 100,
    per_user_limit: 1,
    startsInMs: 20 * secondMs,
    lastsMs: dayMs,
  },
  {
    name: "Pour-over coffee set",
    description: "Dripper, server and a hundred filters; two to a customer.",
    price: 8_900,
    original_price: 14_900,
    stock: 1000,
    per_user_limit: 2,
    startsInMs: 20 * secondMs,
    lastsMs: dayMs,
  },
  {
    name: "Mechanical keyboard, limited run",
    description: "Tomorrow's sale: 50 pieces, one to a customer.",
    price: 39_900,
    original_price: 79_900,
    stock: 50,
    per_user_limit: 1,
    startsInMs: dayMs,
    lastsMs: dayMs,
  },
]

/** Accounts with their roles and money. Answers how many were new. */
export const accounts = async (target: Target): Promise<number> => {
  const ids = new Map<string, number>()
  let created = 0
  for (const { username } of demoAccounts) {
    const password = demoPassword(username)
    const registered = await EdgeHttp.insist<{ id: number } | null>(target.edge, "/register", {
      body: { username, password },
    })
    if (registered.code === 0 && registered.data !== null) {
      created++
      ids.set(username, registered.data.id)
    } else {
      // Taken: then it is ours, and the login says its id. Anything else fails there with its own message.
      ids.set(username, (await EdgeHttp.login(target.edge, username, password)).user.id)
    }
  }
  const credential = ServiceCredential.make({
    service: "stack",
    keys: [Redacted.make(target.serviceKey)],
  })
  await runEffect(
    Effect.gen(function* () {
      const identity = yield* IdentityClient
      for (const { username, roles, wallet } of demoAccounts) {
        const userId = BigInt(ids.get(username) ?? 0)
        if (roles.length > 0) {
          yield* identity.setRoles({
            userId,
            roles: ["customer", ...roles],
            reason: "demo data",
            requestId: `demo-roles-${username}`,
          })
        }
        if (wallet > 0) {
          yield* identity.creditWallet({
            creditId: `demo-wallet-${username}`,
            userId,
            amount: BigInt(wallet),
            currency: "CNY",
            kind: WalletEntryKind.TOPUP,
          })
        }
      }
    }).pipe(Effect.provide(IdentityClient.layer({ url: target.identity, credential }))),
  )
  return created
}

interface Listed {
  readonly name: string
}

/** Demo products, unless ones of these names are on sale or about to be. Answers how many were published. */
export const products = async (target: Target): Promise<number> => {
  const known = new Set<string>()
  for (const status of ["upcoming", "live"]) {
    const page = await EdgeHttp.ask<{ items: ReadonlyArray<Listed> }>(
      target.edge,
      `/products?status=${status}&limit=100`,
    )
    for (const { name } of page.items) known.add(name)
  }
  const missing = demoProducts.filter(({ name }) => !known.has(name))
  if (missing.length === 0) return 0
  const { access_token } = await EdgeHttp.login(target.edge, "operator", demoPassword("operator"))
  for (const { startsInMs, lastsMs, ...product } of missing) {
    const startMs = Date.now() + startsInMs
    await EdgeHttp.ask(target.edge, "/products", {
      token: access_token,
      body: {
        ...product,
        start_time: new Date(startMs).toISOString(),
        end_time: new Date(startMs + lastsMs).toISOString(),
      },
    })
  }
  return missing.length
}

/** The rule that the demo's experiment on rules is about; the edge's database has one of it from the start. */
const demoRule = "new-account"

/** One running experiment of each kind, none of which takes anything from anybody. */
const demoExperiments = (ruleId: number | undefined): ReadonlyArray<Readonly<Record<string, unknown>>> => [
  {
    key: "roomier-payments",
    kind: "limit",
    percentage: 20,
    variants: [
      { key: "control", weight: 1, config: {} },
      { key: "roomier", weight: 1, config: { name: "pay", rate: 3, burst: 15 } },
    ],
    reason: "demo data: do buyers finish more payments with a roomier limit?",
  },
  // The mode that the rule has anyway: what is shown is how a rule is tried, not a verdict.
  ...(ruleId === undefined
    ? []
    : [
        {
          key: "watched-newcomers",
          kind: "risk",
          percentage: 50,
          variants: [
            { key: "control", weight: 1, config: {} },
            { key: "observed", weight: 1, config: { rules: [{ rule_id: ruleId, mode: "observe" }] } },
          ],
          reason: "demo data: a rule on a part of the users",
        },
      ]),
  {
    key: "buy-button",
    kind: "storefront",
    percentage: 100,
    variants: [
      { key: "control", weight: 1, config: {} },
      { key: "warm", weight: 1, config: { buy_button: "warm" } },
    ],
    reason: "demo data: which button is pressed?",
  },
]

/** Demo experiments, unless there were ones of these keys before. Answers how many were started. */
export const experiments = async (target: Target): Promise<number> => {
  const { access_token: token } = await EdgeHttp.login(target.edge, "risk", demoPassword("risk"))
  const rules = await EdgeHttp.ask<{ items: ReadonlyArray<{ id: number; kind: string }> }>(
    target.edge,
    "/admin/risk/rules",
    { token },
  )
  const known = await EdgeHttp.ask<{ items: ReadonlyArray<{ key: string }> }>(
    target.edge,
    "/admin/experiments?limit=100",
    { token },
  )
  const taken = new Set(known.items.map(({ key }) => key))
  const missing = demoExperiments(rules.items.find(({ kind }) => kind === demoRule)?.id).filter(
    ({ key }) => !taken.has(key as string),
  )
  for (const experiment of missing) {
    await EdgeHttp.ask(target.edge, "/admin/experiments", {
      token,
      body: { ...experiment, status: "running" },
    })
  }
  return missing.length
}
