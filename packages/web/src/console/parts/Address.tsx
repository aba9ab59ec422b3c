/**
 * Where one is, and links. A page keeps its filters, its place in the list and what is open in the address, so that a
 * reload, a link to a colleague and the way back all lead to what was seen.
 */
import { Link, useNavigate, useRouterState } from "@tanstack/react-router"
import type { ReactNode } from "react"
import { addressOf, type PageName } from "../pages.ts"

export type Search = Readonly<Record<string, string>>

/** The query of the address, and how to change it: `undefined` takes a name away. */
export const useAddress = () => {
  const search = useRouterState({ select: (state) => state.location.search as Search })
  const path = useRouterState({ select: (state) => state.location.pathname })
  const navigate = useNavigate()
  const change = (changes: Readonly<Record<string, string | undefined>>): void => {
    // The router's types are those of the storefront, which registers its own; the table of pages holds ours.
    void navigate({ to: path, search: { ...search, ...changes }, resetScroll: false } as never)
  }
  return { search, change }
}

interface ToProps {
  readonly page: PageName
  readonly search?: Search | undefined
  readonly className?: string
  readonly onClick?: () => void
  readonly children: ReactNode
}

/** A link to a page of the console. */
export const To = ({ children, page, search = {}, ...rest }: ToProps) => (
  <Link
    {...rest}
    to={addressOf(page) as never}
    search={search as never}
    activeOptions={{ includeSearch: false }}
  >
    {children}
  </Link>
)
