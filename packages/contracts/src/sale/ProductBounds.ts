/** The bounds of what may be published: the HTTP contract and inventory both check by these. */
export const ProductBounds = {
  /** Characters. */
  name: 120,
  /** Characters. */
  description: 2_000,
  /** Minor units, for one. */
  price: 10 ** 10,
  stock: 10 ** 7,
  perUserLimit: 100,
  /** Characters of a URL. */
  image: 2_048,
} as const
