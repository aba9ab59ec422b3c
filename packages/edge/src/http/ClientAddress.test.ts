import { assert, describe, it } from "@effect/vitest"
import { LOOPBACK, limitKey, resolve, trust } from "./ClientAddress.ts"

const nobody = trust([])!
const proxies = trust(["10.0.0.0/8", "2001:db8::/32", "203.0.113.7"])!
const dev = trust(LOOPBACK)!

describe("ClientAddress", () => {
  it("an untrusted peer is the client, whatever it says", () => {
    assert.strictEqual(resolve("198.51.100.1", "1.2.3.4", proxies), "198.51.100.1")
    assert.strictEqual(resolve("127.0.0.1", "1.2.3.4", nobody), "127.0.0.1")
  })

  it("behind trusted proxies it is the last hop that isn't one of them", () => {
    assert.strictEqual(resolve("10.0.0.1", "1.2.3.4", proxies), "1.2.3.4")
    assert.strictEqual(resolve("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", proxies), "1.2.3.4")
    assert.strictEqual(resolve("203.0.113.7", "1.2.3.4", proxies), "1.2.3.4")
    assert.strictEqual(resolve("2001:db8::1", "2001:4860::1", proxies), "2001:4860::1")
    assert.strictEqual(resolve("10.0.0.1", "10.0.0.2", proxies), "10.0.0.2")
    assert.strictEqual(resolve("10.0.0.1", undefined, proxies), "10.0.0.1")
  })

  it("what isn't an address ends the chain", () => {
    assert.strictEqual(resolve("10.0.0.1", "1.2.3.4, unknown", proxies), "10.0.0.1")
    assert.strictEqual(resolve("10.0.0.1", "1.2.3.4, unknown, 10.0.0.9", proxies), "10.0.0.9")
    assert.strictEqual(resolve("10.0.0.1", "", proxies), "10.0.0.1")
  })

  it("one IPv4 address is one client in both notations", () => {
    assert.strictEqual(resolve("::ffff:198.51.100.1", undefined, nobody), "198.51.100.1")
    assert.strictEqual(resolve("::ffff:127.0.0.1", "1.2.3.4", dev), "1.2.3.4")
    assert.strictEqual(resolve("::1", "::ffff:1.2.3.4", dev), "1.2.3.4")
  })

  it("only addresses and CIDR blocks make a list", () => {
    for (const entry of [
      "proxy.example",
      "10.0.0.0/33",
      "10.0.0.0/-1",
      "10.0.0.0/8/8",
      "10.0.0.0/",
      "::/129",
      "",
    ]) {
      assert.isUndefined(trust([entry]), entry)
    }
  })

  it("is limited as one IPv4 address, or as one IPv6 /64", () => {
    assert.strictEqual(limitKey("198.51.100.1"), "198.51.100.1")
    for (const same of ["2001:db8:0:7::1", "2001:0DB8::7:0:0:0:2", "2001:db8:0:7:1:2:3:4"]) {
      assert.strictEqual(limitKey(same.toLowerCase()), "2001:db8:0:7::/64", same)
    }
    assert.strictEqual(limitKey("2001:db8::1"), "2001:db8:0:0::/64")
    assert.strictEqual(limitKey("::1"), "0:0:0:0::/64")
    assert.strictEqual(limitKey("1::"), "1:0:0:0::/64")
    assert.strictEqual(limitKey("64:ff9b::192.0.2.1"), "64:ff9b:0:0::/64")
  })
})
