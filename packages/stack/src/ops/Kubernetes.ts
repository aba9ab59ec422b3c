/**
 * Kubernetes' own schemas, held against our manifests: what `kubectl --validate=strict` would ask a cluster. The
 * published validators take unknown fields as they come, so a field that none of them looks at counts as a mistake.
 */
import * as Apps from "kubernetes-models/apps/v1"
import * as Autoscaling from "kubernetes-models/autoscaling/v2"
import * as Batch from "kubernetes-models/batch/v1"
import * as Networking from "kubernetes-models/networking.k8s.io/v1"
import * as Policy from "kubernetes-models/policy/v1"
import * as Core from "kubernetes-models/v1"

/** One document of a manifest. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly [key: string]: unknown
}

type Model = new (data: never) => { readonly validate: () => void }

const models: Readonly<Record<string, Model>> = {
  "apps/v1 Deployment": Apps.Deployment,
  "autoscaling/v2 HorizontalPodAutoscaler": Autoscaling.HorizontalPodAutoscaler,
  "batch/v1 Job": Batch.Job,
  "networking.k8s.io/v1 NetworkPolicy": Networking.NetworkPolicy,
  "policy/v1 PodDisruptionBudget": Policy.PodDisruptionBudget,
  "v1 ConfigMap": Core.ConfigMap,
  "v1 Namespace": Core.Namespace,
  "v1 PersistentVolumeClaim": Core.PersistentVolumeClaim,
  "v1 Service": Core.Service,
}

/** The same value; `unread` gives up the path of each field that is looked at. */
const watched = (value: unknown, path: string, unread: Set<string>): unknown => {
  if (typeof value !== "object" || value === null) return value
  const children = new Map<string, unknown>()
  for (const [key, child] of Object.entries(value)) {
    const at = `${path}.${key}`
    if (!Array.isArray(value)) unread.add(at)
    children.set(key, watched(child, at, unread))
  }
  return new Proxy(value, {
    get: (target, key) => {
      if (typeof key !== "string" || !children.has(key)) return Reflect.get(target, key)
      unread.delete(`${path}.${key}`)
      return children.get(key)
    },
    // Whoever lists the keys takes any: a map, as labels are.
    ownKeys: (target) => {
      for (const key of children.keys()) unread.delete(`${path}.${key}`)
      return Reflect.ownKeys(target)
    },
  })
}

/** What is wrong with a document, a line each; nothing where it is right. */
export const problems = (manifest: Manifest): ReadonlyArray<string> => {
  const kind = `${manifest.apiVersion} ${manifest.kind}`
  const name = `${manifest.kind} ${manifest.metadata.name}`
  const model = models[kind]
  if (model === undefined) return [`${name}: no schema of ${kind} is known here`]
  const unread = new Set<string>()
  const { apiVersion: _, kind: __, ...fields } = manifest
  const seen = Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, watched(value, key, unread)]),
  )
  const found: Array<string> = []
  const unknownTop = Object.keys(fields).filter((key) => !["metadata", "spec", "data"].includes(key))
  try {
    // Given to the constructor they would be copied, and so looked at.
    const document = Object.assign(new model({} as never), seen)
    document.validate()
  } catch (cause) {
    found.push(`${name}: ${(cause as Error).message}`)
  }
  return [...found, ...[...unknownTop, ...unread].map((field) => `${name}: ${field} is no field of it`)]
}
