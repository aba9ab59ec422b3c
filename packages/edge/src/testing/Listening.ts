/** An event stream as a test reads it. */
import * as Http from "node:http"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

export interface Listening {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: () => string
  readonly ended: () => boolean
  readonly events: () => ReadonlyArray<{ readonly event: string; readonly data: any; readonly id?: string }>
}

/** Opens a stream, until the scope closes. */
export const listen = (
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Effect.Effect<Listening, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Listening & { readonly close: () => void }>((resume) => {
      const request = Http.get({ port, host: "127.0.0.1", path, headers, agent: false }, (response) => {
        let text = ""
        let ended = false
        response.on("data", (chunk: Buffer) => {
          text += chunk.toString("utf8")
        })
        response.on("close", () => {
          ended = true
        })
        resume(
          Effect.succeed({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: () => text,
            ended: () => ended,
            events: () =>
              [...text.matchAll(/(?:id: (\S+)\n)?event: (\S+)\ndata: (.*)\n\n/g)].map(
                ([, id, event, data]) => ({
                  event: event!,
                  data: JSON.parse(data!),
                  ...(id === undefined ? {} : { id }),
                }),
              ),
            close: () => request.destroy(),
          }),
        )
      })
      request.on("error", () => undefined)
    }),
    ({ close }) => Effect.sync(close),
  )

/** Waits for a condition, and dies where it doesn't come true. */
export const until = (
  what: string,
  condition: () => boolean,
  within: Duration.DurationInput = "20 seconds",
) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (held: boolean) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutFail({ duration: within, onTimeout: () => new Error(`it never came: ${what}`) }),
    Effect.orDie,
  )
