/** The console's experiments: kept and audited by the edge itself. */
import { randomBytes } from "node:crypto"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import type { ExperimentKind, Variant } from "@floodgate/contracts/http/Experiment"
import * as Effect from "effect/Effect"
import * as ExperimentConfig from "../experiments/ExperimentConfig.ts"
import { ExperimentStore } from "../experiments/ExperimentStore.ts"
import { Experiments } from "../experiments/Experiments.ts"
import { PeopleStore } from "../experiments/PeopleStore.ts"
import * as AdminLists from "./AdminLists.ts"
import * as ExperimentView from "./ExperimentView.ts"

const checked = (kind: ExperimentKind, variants: ReadonlyArray<Variant>) => {
  const issues = ExperimentConfig.issuesOf(kind, variants)
  return issues.length === 0 ? Effect.void : new InvalidInput({ issues })
}

const CURSOR = /^1:([1-9]\d{0,9})$/

/** The id that a cursor stands for. */
const placeOf = (cursor: string | undefined) => {
  if (cursor === undefined) return Effect.succeed(undefined)
  const [, id] = CURSOR.exec(Buffer.from(cursor, "base64url").toString("latin1")) ?? []
  return id === undefined
    ? InvalidInput.at("cursor", "is not a cursor of this list")
    : Effect.succeed(Number(id))
}

const cursorOf = (id: number): string => Buffer.from(`1:${id}`).toString("base64url")

export const layer = HttpApiBuilder.group(RestApi, "adminExperiments", (handlers) =>
  Effect.gen(function* () {
    const experiments = yield* Experiments
    const store = yield* ExperimentStore
    const people = yield* PeopleStore
    return handlers
      .handle(
        "list",
        Effect.fn("AdminExperimentHandlers.list")(function* ({ request, urlParams }) {
          const { from, kind, status, to } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "experiments",
            columns: ExperimentView.columns,
            page: ({ cursor, limit }) =>
              Effect.gen(function* () {
                const beforeId = yield* placeOf(cursor)
                const found = yield* store.list({
                  kind,
                  status,
                  fromMs: from,
                  toMs: to,
                  beforeId,
                  limit: limit + 1,
                })
                const items = found.slice(0, limit)
                return {
                  items: items.map(ExperimentView.of),
                  next_cursor: found.length > limit ? cursorOf(items[items.length - 1]!.id) : null,
                }
              }),
          })
        }),
      )
      .handle(
        "create",
        Effect.fn("AdminExperimentHandlers.create")(function* ({ payload }) {
          const { userId } = yield* CurrentUser
          yield* checked(payload.kind, payload.variants)
          const created = yield* experiments.create({
            key: payload.key,
            kind: payload.kind,
            status: payload.status,
            salt: payload.salt ?? randomBytes(8).toString("hex"),
            percentage: payload.percentage,
            allowUsers: payload.allow_users,
            variants: payload.variants,
            reason: payload.reason,
            actorId: userId,
          })
          return ExperimentView.of(created)
        }),
        { uninterruptible: true },
      )
      .handle(
        "get",
        Effect.fn("AdminExperimentHandlers.get")(function* ({ path }) {
          return ExperimentView.of(yield* store.get(path.key))
        }),
      )
      .handle(
        "change",
        Effect.fn("AdminExperimentHandlers.change")(function* ({ path, payload }) {
          const { userId } = yield* CurrentUser
          if (payload.variants !== undefined) {
            const { kind } = yield* store.get(path.key)
            yield* checked(kind, payload.variants)
          }
          const changed = yield* experiments.change({
            key: path.key,
            version: payload.version,
            status: payload.status,
            salt: payload.salt,
            percentage: payload.percentage,
            allowUsers: payload.allow_users,
            variants: payload.variants,
            reason: payload.reason,
            actorId: userId,
          })
          return ExperimentView.of(changed)
        }),
        { uninterruptible: true },
      )
      .handle(
        "stop",
        Effect.fn("AdminExperimentHandlers.stop")(function* ({ path, payload }) {
          const { userId } = yield* CurrentUser
          const stopped = yield* experiments
            .change({
              key: path.key,
              version: payload.version,
              status: "stopped",
              reason: payload.reason,
              actorId: userId,
            })
            // Stopping is allowed in every state.
            .pipe(Effect.catchTags({ WrongState: Effect.die, InvalidInput: Effect.die }))
          return ExperimentView.of(stopped)
        }),
        { uninterruptible: true },
      )
      .handle(
        "results",
        Effect.fn("AdminExperimentHandlers.results")(function* ({ path }) {
          // What this edge saw in the last second; the others' is there a second later.
          yield* experiments.flush
          const experiment = yield* store.get(path.key)
          return ExperimentView.results(experiment, yield* people.count(path.key))
        }),
      )
  }),
)
