/**
 * Where a product lives in Redis: product → shard → hash tag → slot → server. One product is one shard, so that one
 * script call sees all of it.
 */

/** How many shards there are. Fixed for good: stored keys and the bus's partitions rest on it. */
export const SHARDS = 256

/**
 * The hash tag of each shard. Plain numbers would fall unevenly (`{s00}`… over three servers: 8, 4 and 4 of 16), so
 * each tag is the shard in hex plus three characters found by search, such that the slots (CRC16 mod 16384) lie evenly
 * over 3, 6, 12 and 24 servers with equal ranges, neighbouring shards on different thirds, none near a range's edge.
 * The table is data, not code that runs at start: changing one tag would lose its shard's keys.
 */
const TAGS = `
  0005z 0105e 0208u 030oy 040a8 050vw 060og 070xy
  0808g 090f9 0a0sv 0b04w 0c0db 0d02d 0e0oc 0f0gq
  1002f 1103g 1205o 130fq 14026 15001 1602u 170ak
  1801e 1901z 1a05o 1b0il 1c06q 1d0or 1e0bu 1f0nu
  2009q 2118e 2200d 230k2 240ez 250ex 2603m 2700t
  2804n 2904l 2a0ox 2b08u 2c0gh 2d0fy 2e0gc 2f00n
  300ts 3100u 320fd 330b0 340bj 3508n 360ev 3709p
  380gl 39092 3a02n 3b0eg 3c0ac 3d07t 3e0a2 3f05y
  4002u 410hu 4205m 430b3 4404v 4506q 46186 4706q
  4801v 4901x 4a06d 4b0ef 4c06b 4d0op 4e0bw 4f09o
  5017g 5106s 5202q 5308l 54184 55186 560xb 570dg
  58009 5906h 5a07v 5b07r 5c00g 5d01v 5e00l 5f0c0
  6000y 6100f 62067 6302c 6407c 650bw 660ee 6705z
  6802e 69061 6a0hw 6b054 6c029 6d014 6e0fd 6f0aw
  70016 710mt 7200l 730g2 7401f 75052 7608w 77045
  7804f 7904y 7a03e 7b0x6 7c03r 7d0jq 7e0gv 7f0xf
  8019k 810ck 8202s 830bd 84045 8507z 860fb 8701n
  88010 890fn 8a0gp 8b0mz 8c0zg 8d076 8e032 8f098
  9002l 910bw 9203k 930dg 940ak 95065 9607t 9707o
  981fh 991zm 9a0om 9b00h 9c07e 9d0ev 9e0dq 9f0lc
  a00dt a105q a202c a30vt a4005 a504a a619k a705f
  a80fm a906v aa17g ab054 ac0ay ad11g ae0ey af05d
  b005m b1019 b207h b307j b402r b508o b603l b7078
  b808v b903q ba02o bb07u bc0kp bd01q be16f bf00o
  c000z c107h c20fe c301i c404t c500r c6013 c7019
  c80yo c9093 ca05s cb0c5 cc05s cd00i ce0ku cf09m
  d003n d1031 d202p d30ht d404w d507j d60f2 d72eb
  d801w d906e da0al db10g dc06c dd044 de062 df05w
  e00f3 e109s e20of e30i7 e40fe e50qs e60kb e703o
  e807q e9077 ea00z eb16b ec0dw ed0ef ee08a ef02k
  f00ku f107j f20fv f301z f40cn f500p f6011 f708x
  f80fh f90ey fa05q fb0eu fc0i9 fd00k fe01l ff0ct
`
  .trim()
  .split(/\s+/)

/** The shard of a product, 0 to 255. Products published one after another come to different shards. */
export const shardOf = (productId: number): number => {
  if (!Number.isSafeInteger(productId) || productId < 0)
    throw new RangeError(`not a product id: ${productId}`)
  return productId % SHARDS
}

/** The hash tag of a shard, without braces. */
export const tagOf = (shard: number): string => {
  const tag = TAGS[shard]
  if (tag === undefined) throw new RangeError(`not a shard: ${shard}`)
  return tag
}

/** A key of the shard: `{tag}:suffix`. */
export const key = (shard: number, suffix: string): string => `{${tagOf(shard)}}:${suffix}`

/** The bus partition of a shard, of a topic with so many partitions. */
export const partitionOf = (shard: number, partitions: number): number => shard % partitions
