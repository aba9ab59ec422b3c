import { assert, describe, it } from "@effect/vitest"
import { isImageUrl } from "./ImageUrl.ts"

const good = [
  "/media/0123abc.webp",
  "https://cdn.shop.example/a/b.png?x=1#y",
  "https://203.0.112.9/x.png",
  "https://xn--fiq228c.com/x.png",
  "https://shop.example:8443/x.png",
]

const bad = [
  "",
  "/media/",
  "/media/../etc/passwd",
  "/media/a/b.webp",
  "/etc/passwd",
  "//evil.example/x.png",
  "http://shop.example/x.png",
  "HTTP://shop.example/x.png",
  "file:///etc/passwd",
  "javascript:alert(1)",
  "data:image/png;base64,AAAA",
  "ftp://shop.example/x.png",
  "https://",
  "https://localhost/x.png",
  "https://LOCALHOST./x.png",
  "https://db.internal/x.png",
  "https://printer.local/x.png",
  "https://intranet/x.png",
  "https://127.0.0.1/x.png",
  "https://127.1/x.png",
  "https://2130706433/x.png",
  "https://0x7f.0.0.1/x.png",
  "https://0177.0.0.1/x.png",
  "https://0.0.0.0/x.png",
  "https://10.1.2.3/x.png",
  "https://172.16.0.1/x.png",
  "https://172.31.255.255/x.png",
  "https://192.168.1.1/x.png",
  "https://169.254.169.254/latest/meta-data",
  "https://100.64.0.1/x.png",
  "https://224.0.0.1/x.png",
  "https://[::1]/x.png",
  "https://[::ffff:127.0.0.1]/x.png",
  "https://[fd00::1]/x.png",
  "https://user:password@shop.example/x.png",
  "https://shop.example@127.0.0.1/x.png",
  "https://shop.example\\@evil.example/x.png",
  " https://shop.example/x.png",
  "https://shop.example/x\n.png",
  "https://shop.example/\u0000",
  "java\tscript:alert(1)",
]

describe("ImageUrl", () => {
  for (const url of good) it(`takes ${url}`, () => assert.isTrue(isImageUrl(url)))
  for (const url of bad) it(`refuses ${JSON.stringify(url)}`, () => assert.isFalse(isImageUrl(url)))
})
