import { assert, describe, it } from "@effect/vitest"
import * as RequestId from "./RequestId.ts"

describe("RequestId", () => {
  it("the same user, product and key are one wish; any other is another", () => {
    const id = RequestId.ofKey(7, 42, "key")
    assert.match(id, /^[A-Za-z0-9_-]{16}$/)
    assert.strictEqual(RequestId.ofKey(7, 42, "key"), id)
    const others = [
      RequestId.ofKey(8, 42, "key"),
      RequestId.ofKey(7, 43, "key"),
      RequestId.ofKey(7, 42, "kez"),
      RequestId.ofKey(74, 2, "key"),
      RequestId.ofKey(7, 4, "2|key"),
    ]
    assert.notInclude(others, id)
  })

  it("without a key each is a wish of its own", () => {
    const ids = Array.from({ length: 2_000 }, RequestId.random)
    assert.strictEqual(new Set(ids).size, ids.length)
    assert.isTrue(ids.every((id) => /^[A-Za-z0-9_-]{16}$/.test(id)))
  })
})
