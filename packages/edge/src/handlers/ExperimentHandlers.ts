/** What a page learns of experiments, and what it tells of them. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import * as Effect from "effect/Effect"
import { Experiments } from "../experiments/Experiments.ts"

export const layer = HttpApiBuilder.group(RestApi, "experiments", (handlers) =>
  Effect.gen(function* () {
    const experiments = yield* Experiments
    return handlers
      .handle(
        "list",
        Effect.fn("ExperimentHandlers.list")(function* () {
          const { userId } = yield* CurrentUser
          // Whoever knew which accounts a rule treats more gently would use those.
          return experiments
            .of(userId)
            .filter(({ kind }) => kind !== "risk")
            .map(({ config, key, variant }) => ({ key, variant, config }))
        }),
      )
      .handle(
        "expose",
        Effect.fn("ExperimentHandlers.expose")(function* ({ path }) {
          const { userId } = yield* CurrentUser
          return experiments.expose(path.key, userId) ? null : yield* new NotFound({})
        }),
      )
  }),
)
