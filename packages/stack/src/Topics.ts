/** The bus's topics, made before the first service asks for them. */
import * as Provider from "@floodgate/runtime/config/Provider"
import * as EventBus from "@floodgate/runtime/event-bus/EventBus"
import * as Effect from "effect/Effect"
import { runEffect } from "./RunEffect.ts"

/** Creates what is missing, on the bus that these variables name (KAFKA_BROKERS or REDIS_BUS_URL). */
export const ensure = (env: Readonly<Record<string, string | undefined>>): Promise<void> =>
  runEffect(
    EventBus.ensureTopics.pipe(
      Effect.provide(EventBus.layer),
      Effect.scoped,
      Effect.withConfigProvider(Provider.make(env)),
    ),
  )
