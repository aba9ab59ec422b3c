import { assert, describe, it } from "vitest"
import * as Hub from "./Hub.ts"
import { type Change, isBefore, ReplayBuffer } from "./ReplayBuffer.ts"

const alice: Hub.Listener = { userId: 7, issuedMs: 1_000, expiresMs: 901_000 }
const bob: Hub.Listener = { userId: 8, issuedMs: 1_000, expiresMs: 901_000 }

const change = (userId: number, orderNum: string, version = 1): Change => ({
  userId,
  orderNum,
  state: "unpaid",
  version,
  updatedAt: "2026-01-01T00:00:00.000Z",
})

/** A reader that takes everything, or nothing. */
const wire = (takes = true) => {
  let text = ""
  let waiting = 0
  const end = { how: "open" }
  return {
    write: (more: string) => {
      text += more
      if (!takes) waiting += more.length
      return waiting
    },
    end: () => {
      end.how = "ended"
    },
    destroy: () => {
      end.how = "destroyed"
    },
    how: () => end.how,
    events: () =>
      [...text.matchAll(/(?:id: (\S+)\n)?event: (\S+)\ndata: (.*)\n\n/g)].map(([, id, event, data]) => ({
        id,
        event: event!,
        data: JSON.parse(data!),
      })),
  }
}

const begun = () => {
  const hub = new Hub.Hub()
  hub.begin("0-0")
  return hub
}

const stock = (productId: number, left: number): Hub.StockChange => ({
  stock: { product_id: productId, stock: left, status: "live", version: 1 },
  etag: `${productId} ${left}`,
})

const open = (hub: Hub.Hub, listener: Hub.Listener | undefined, topics: Array<string>, last?: string) => {
  const reader = wire()
  return { reader, stream: hub.open(reader, listener, "192.0.2.1", topics, last, 5) }
}

describe("the hub", () => {
  it("tells an order to its buyer alone, and to every stream of theirs that asked", () => {
    const hub = begun()
    const streams = [open(hub, alice, ["orders"]), open(hub, alice, ["orders"]), open(hub, bob, ["orders"])]
    const deaf = open(hub, alice, ["stock:4"])
    hub.orders("1-0", [change(7, "n1"), change(9, "n2")])
    assert.deepStrictEqual(
      streams.map(({ reader }) => reader.events().length),
      [2, 2, 1],
    )
    assert.deepStrictEqual(streams[0]?.reader.events()[1], {
      id: "1-0",
      event: "order.updated",
      data: {
        order_num: "n1",
        state: "unpaid",
        status: 0,
        version: 1,
        updated_at: "2026-01-01T00:00:00.000Z",
      },
    })
    assert.lengthOf(deaf.reader.events(), 1)
  })

  it("tells one who comes back exactly what was missed", () => {
    const hub = begun()
    for (let n = 1; n <= 5; n++) hub.orders(`${n}-0`, [change(7, `n${n}`), change(8, `m${n}`)])
    const { reader } = open(hub, alice, ["orders"], "3-0")
    assert.deepStrictEqual(
      reader.events().map(({ data, event, id }) => [event, id, data.order_num]),
      [
        ["ready", "3-0", undefined],
        ["order.updated", "4-0", "n4"],
        ["order.updated", "5-0", "n5"],
      ],
    )
  })

  it("says reset where the point to go on from is gone, was never ours, or entries were lost", () => {
    const hub = begun()
    const listening = open(hub, alice, ["orders"])
    hub.orders("5-0", [change(7, "n1")])
    hub.gap("5-0")
    assert.deepStrictEqual(
      listening.reader.events().map(({ event }) => event),
      ["ready", "order.updated", "reset"],
    )
    for (const last of ["4-0", "99-0", "rubbish"]) {
      const { reader } = open(hub, alice, ["orders"], last)
      assert.deepStrictEqual(
        reader.events().map(({ event }) => event),
        ["ready", "reset"],
      )
      assert.strictEqual(reader.events()[0]?.id, "5-0", "from where to go on next time")
    }
  })

  it("drops a reader that takes nothing at a bounded buffer, and tells the others on", () => {
    const hub = begun()
    const slow = wire(false)
    const first = hub.open(slow, alice, "192.0.2.1", ["orders"], undefined, 5)
    const { reader } = open(hub, alice, ["orders"])
    for (let n = 1; n <= 1_000; n++) hub.orders(`${n}-0`, [change(7, `n${n}`)])
    assert.strictEqual(slow.how(), "destroyed")
    assert.isBelow(slow.events().length, 700)
    assert.lengthOf(reader.events(), 1_001)
    assert.strictEqual(hub.dropped, 1)
    assert.strictEqual(hub.size, 1)
    hub.close(first)
    assert.strictEqual(hub.size, 1)
  })

  it("lets nobody go on behind an entry that was heard by half", () => {
    const hub = begun()
    const { reader } = open(hub, alice, ["orders"])
    hub.orders("1-0", [change(7, "n1"), change(8, "n2"), change(7, "n3")])
    const back = open(hub, alice, ["orders"], "0-0").reader
    for (const one of [reader, back])
      assert.deepStrictEqual(
        one
          .events()
          .slice(1)
          .map(({ data, id }) => [data.order_num, id]),
        [
          ["n1", undefined],
          ["n3", "1-0"],
        ],
      )
  })

  it("tells who was away for long what the wire takes, and the rest when it comes back", () => {
    const hub = begun()
    for (let n = 1; n <= 1_000; n++) hub.orders(`${n}-0`, [change(7, `a${n}`), change(7, `b${n}`)])
    const heard = new Set<string>()
    let last = "0-0"
    let times = 0
    for (let how = "ended"; how === "ended"; times++) {
      const slow = wire(false)
      hub.open(slow, alice, "192.0.2.1", ["orders"], last, 5)
      const told = slow.events().slice(1)
      assert.isBelow(JSON.stringify(told).length, 2 * Hub.MAX_BEHIND_BYTES)
      for (const { data } of told) heard.add(data.order_num)
      last = told.at(-1)!.id!
      how = slow.how()
    }
    assert.strictEqual(heard.size, 2_000)
    assert.isAbove(times, 2)
    assert.strictEqual(hub.dropped, 0)
    assert.strictEqual(hub.size, 1)
  })

  it("bounds the streams of a user and of an address, and counts what was closed no longer", () => {
    const hub = begun()
    const streams = Array.from(
      { length: Hub.MAX_STREAMS_PER_USER },
      () => open(hub, alice, ["orders"]).stream,
    )
    assert.strictEqual(hub.room(alice, "192.0.2.2"), "user")
    assert.strictEqual(hub.room(bob, "192.0.2.1"), "ok")
    hub.close(streams[0]!)
    assert.strictEqual(hub.room(alice, "192.0.2.2"), "ok")
    while (hub.room(undefined, "192.0.2.1") === "ok") open(hub, undefined, ["stock:1"])
    assert.strictEqual(hub.room(undefined, "192.0.2.1"), "address")
    assert.strictEqual(hub.size, Hub.MAX_STREAMS_PER_ADDRESS)
  })

  it("changes what an open stream tells", () => {
    const hub = begun()
    const { reader, stream } = open(hub, undefined, ["stock:1"])
    assert.isTrue(hub.subscribe(stream.id, ["stock:2"]))
    for (const id of [1, 2]) hub.stock(id, stock(id, 3))
    assert.deepStrictEqual(
      reader.events().map(({ data }) => data.product_id),
      [undefined, 2],
    )
    assert.deepStrictEqual([...hub.products("stock")], [2])
    assert.isFalse(hub.subscribe("another", ["stock:2"]))
  })

  it("tells each stream a product's stock where it was last told otherwise, whenever it came", () => {
    const hub = begun()
    const heard = ({ reader }: ReturnType<typeof open>) =>
      reader.events().flatMap(({ data, event }) => (event === "stock.updated" ? [data.stock] : []))
    const first = open(hub, undefined, ["stock:1"])
    hub.stockTo(first.stream, 1, stock(1, 5))
    assert.isTrue(hub.isNewlyHeard(1))
    // It changed before anybody looked for all of them.
    hub.stock(1, stock(1, 4))
    assert.isFalse(hub.isNewlyHeard(1))
    const second = open(hub, undefined, ["orders"])
    hub.subscribe(second.stream.id, ["stock:1"])
    assert.isTrue(hub.isNewlyHeard(1))
    for (let n = 0; n < 2; n++) hub.stock(1, stock(1, 4))
    assert.deepStrictEqual([first, second].map(heard), [[5, 4], [4]])
    // Who turned away and back is told anew, though nothing has changed.
    hub.subscribe(second.stream.id, [])
    hub.stockTo(second.stream, 1, stock(1, 4))
    hub.subscribe(second.stream.id, ["stock:1"])
    hub.stock(1, stock(1, 4))
    assert.deepStrictEqual([first, second].map(heard), [
      [5, 4],
      [4, 4],
    ])
    for (const { stream } of [first, second]) hub.close(stream)
    assert.isFalse(hub.isNewlyHeard(1))
  })

  it("a stream's id says whose it is, and of which edge", () => {
    const hub = begun()
    const { stream } = open(hub, alice, ["orders"])
    assert.isTrue(Hub.isOwner(stream.id, 7))
    for (const user of [8, undefined]) assert.isFalse(Hub.isOwner(stream.id, user))
    for (const forged of ["", "a", `${stream.id}.x`]) assert.isFalse(Hub.isOwner(forged, 7))
    assert.strictEqual(Hub.edgeOf(stream.id), hub.edgeId)
  })

  it("says goodbye to the banned and the expired, and to nobody else", () => {
    const hub = begun()
    const [gone, stays, anyone] = [
      open(hub, alice, ["orders"]),
      open(hub, bob, ["orders"]),
      open(hub, undefined, ["stock:1"]),
    ]
    hub.dismiss(({ userId }) => (userId === 7 ? 701 : undefined))
    assert.deepStrictEqual(gone.reader.events().at(-1), { id: undefined, event: "bye", data: { code: 701 } })
    assert.deepStrictEqual(
      [gone, stays, anyone].map(({ reader }) => reader.how()),
      ["ended", "open", "open"],
    )
    hub.endAll()
    assert.strictEqual(hub.size, 0)
  })
})

describe("the replay buffer", () => {
  it("holds no more changes than it may, and knows from where on it knows everything", () => {
    const buffer = new ReplayBuffer(10, "0-0")
    for (let n = 1; n <= 5_000; n++) buffer.append(`${n}-0`, [change(7, `n${n}`), change(n, `m${n}`)])
    assert.isAtMost(buffer.size, 10)
    assert.isUndefined(buffer.since(7, "4994-0"))
    assert.deepStrictEqual(
      buffer.since(7, "4995-0")?.map(({ id }) => id),
      ["4996-0", "4997-0", "4998-0", "4999-0", "5000-0"],
    )
    assert.deepStrictEqual(buffer.since(1, "5000-0"), [])
  })

  it("ids are compared as numbers, not as text", () => {
    assert.isTrue(isBefore("9-0", "10-0"))
    assert.isTrue(isBefore("9-2", "9-10"))
    assert.isFalse(isBefore("10-0", "10-0"))
  })
})
