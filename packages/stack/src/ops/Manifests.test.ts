import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as EnvFile from "@floodgate/runtime/config/EnvFile"
import * as Ports from "@floodgate/runtime/config/Ports"
import { DRAIN_BOUND_MS } from "@floodgate/runtime/lifecycle/Main"
import { validate as validateDockerfile } from "dockerfile-utils"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parse, parseAllDocuments } from "yaml"
import * as FirstAdmin from "../FirstAdmin.ts"
import * as Requirements from "../Requirements.ts"
import { facts, isService, type Service, services } from "../Services.ts"
import { NODE_OPTIONS } from "../supervisor/Supervisor.ts"
import * as ComposeLint from "./ComposeLint.ts"
import * as Kubernetes from "./Kubernetes.ts"

const root = fileURLToPath(new URL("../../../..", import.meta.url))
const ops = path.join(root, "ops")
const read = (...parts: ReadonlyArray<string>) => fs.readFileSync(path.join(root, ...parts), "utf8")

/** What runs outside dev. */
const deployed = services.filter((name) => !facts[name].devOnly)
const portOf = (name: Ports.PortName) => Ports.portOf(Ports.DEFAULT_BASE, name)

/** Every key that .env.example names; each may also be given as a file, and each port by itself. */
const knownKeys = new Set([
  ...[...read(".env.example").matchAll(/^([A-Z][A-Z0-9_]*)=/gm)].flatMap(([, key = ""]) => {
    const plain = key.replace(/_FILE$/, "")
    return [plain, `${plain}_FILE`]
  }),
  ...Object.keys(Ports.offsets).map((name) => Ports.envName(name as Ports.PortName)),
])

let secrets: string
beforeAll(async () => {
  secrets = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-manifests-"))
  const { execFileSync } = await import("node:child_process")
  execFileSync(process.execPath, [path.join(ops, "docker", "secrets.mjs"), secrets])
})
afterAll(() => fs.rmSync(secrets, { recursive: true, force: true }))

/** The same environment, with the mounted secrets where ours are. Fails where one isn't mounted. */
const withSecrets = (env: Record<string, string>, mounted: ReadonlySet<string>) =>
  Object.fromEntries(
    Object.entries(env).map(([key, value]) => {
      const name = value.startsWith("/run/secrets/") ? path.basename(value) : undefined
      if (name === undefined) return [key, value]
      expect(mounted, `${key} names a secret that isn't mounted`).toContain(name)
      return [key, path.join(secrets, name)]
    }),
  )

const startsInProd = async (service: Service, env: Record<string, string>): Promise<void> => {
  expect(env["APP_ENV"]).toBe("prod")
  await Requirements.check({ FLOODGATE_ROOT: root, ...env }, new Set([service]))
  for (const key of Object.keys(env)) expect(knownKeys, `${service}: ${key} is no key of ours`).toContain(key)
}

/** With all that it needs, what is wrong is only that nobody is there. */
const asksIdentity = async (env: Record<string, string>): Promise<void> => {
  const nobodyThere = { FLOODGATE_ROOT: root, ...env, IDENTITY_URL: "127.0.0.1:1" }
  await expect(FirstAdmin.grant(nobodyThere, "somebody")).rejects.toThrow("Identity can't be reached")
  for (const key of Object.keys(env)) expect(knownKeys, `${key} is no key of ours`).toContain(key)
}

const imageOf = (image: string) => ({ tag: /:([^:/]+)$/.exec(image)?.[1] })

describe("ops/compose.yaml", () => {
  interface ComposeService {
    readonly image: string
    readonly command?: ReadonlyArray<string>
    readonly environment?: Record<string, string>
    readonly secrets?: ReadonlyArray<string>
    readonly volumes?: ReadonlyArray<string>
    readonly ports?: ReadonlyArray<string>
    readonly depends_on?: Record<string, { readonly condition: string }>
    readonly healthcheck?: { readonly test: ReadonlyArray<string> }
    readonly deploy?: { readonly resources?: { readonly limits?: { cpus?: string; memory?: string } } }
  }
  const compose = parse(read("ops", "compose.yaml"), { merge: true }) as {
    services: Record<string, ComposeService>
    secrets: Record<string, { file: string }>
    volumes: Record<string, unknown>
  }
  /** Variables that compose fills in from the caller's environment, by their defaults. */
  const filledIn = (text: string) => text.replace(/\$\{[A-Z_]+:-([^}]*)\}/g, "$1")
  const ours = Object.entries(compose.services).filter(([, { image }]) => image.startsWith("floodgate:"))
  const processes = ours.filter(([name]) => isService(name.replace(/-\d$/, "")))

  const go = ComposeLint.findGo()
  if (go === undefined)
    process.stderr.write("ops: no Go here, so Docker's own reader of Compose files is skipped\n")

  it.skipIf(go === undefined)(
    "is what Docker's own reader takes",
    async () => {
      const lint = await ComposeLint.build(root, go ?? "")
      await lint(path.join(ops, "compose.yaml"))
      const broken = path.join(secrets, "broken.yaml")
      fs.writeFileSync(broken, "services: { x: { image: a:1, imagee: b } }\n")
      await expect(lint(broken)).rejects.toThrow(/imagee/)
    },
    600_000,
  )

  it("names nothing that it doesn't define, and no file that isn't there", () => {
    for (const [name, { depends_on = {}, secrets: used = [], volumes = [] }] of Object.entries(
      compose.services,
    )) {
      for (const [other, { condition }] of Object.entries(depends_on)) {
        expect(compose.services, `${name} depends on ${other}`).toHaveProperty([other])
        if (condition === "service_healthy") expect(compose.services[other]?.healthcheck).toBeDefined()
      }
      for (const secret of used) expect(compose.secrets, name).toHaveProperty([secret])
      for (const volume of volumes) {
        const [from = ""] = volume.split(":")
        if (from.startsWith(".")) expect(fs.existsSync(path.join(ops, from)), `${name}: ${from}`).toBe(true)
        else expect(compose.volumes, name).toHaveProperty([from])
      }
    }
  })

  it("pins every image, and bounds every container", () => {
    for (const [name, { image, deploy }] of Object.entries(compose.services)) {
      expect(imageOf(filledIn(image)).tag, name).toMatch(/^v?\d+\.\d+\.\d+(-[a-z]+)?$/)
      expect(deploy?.resources?.limits, name).toMatchObject({
        cpus: expect.any(String),
        memory: expect.any(String),
      })
    }
  })

  it("every secret is one that ops/docker/secrets.mjs makes", () => {
    for (const { file } of Object.values(compose.secrets)) {
      expect(fs.existsSync(path.join(secrets, path.basename(file))), file).toBe(true)
    }
  })

  it("runs two edges and each service, which start with what they are told, and are asked for their own readiness", async () => {
    expect(processes.map(([name]) => name).sort()).toEqual(
      ["edge-1", "edge-2", ...deployed.filter((name) => name !== "edge")].sort(),
    )
    for (const [
      name,
      { command, environment = {}, secrets: mounted = [], healthcheck, ports },
    ] of processes) {
      const service = name.replace(/-\d$/, "") as Service
      expect(command).toEqual([`${service}.js`])
      const env = Object.fromEntries(
        Object.entries(environment).map(([key, value]) => [key, filledIn(String(value))]),
      )
      await startsInProd(service, withSecrets(env, new Set(mounted)))
      expect(healthcheck?.test.join(" ")).toContain(`127.0.0.1:${portOf(facts[service].opsPort)}/readyz`)
      if (service === "edge") expect(ports?.[0]?.split(":")[1]).toBe(String(portOf("edge")))
      else expect(ports, `${name} is for its peers only`).toBeUndefined()
    }
  })

  it("Node runs in a container as it does here", () => {
    expect(read("ops", "docker", "Dockerfile")).toContain(
      `ENTRYPOINT ${JSON.stringify(["node", ...NODE_OPTIONS]).replaceAll(",", ", ")}`,
    )
  })

  it("a service that lacks a key is found out", async () => {
    const [, { environment = {}, secrets: mounted = [] }] = processes.find(([name]) => name === "ordering")!
    const { ORDER_NUM_KEY_FILE: _, ...env } = withSecrets(environment, new Set(mounted))
    await expect(startsInProd("ordering", env)).rejects.toThrow(/ORDER_NUM_KEY/)
  })

  it("the first administrator is made by a job that runs only when it is asked for, and has nothing but the credential", async () => {
    const job = compose.services["first-admin"] as ComposeService & {
      readonly profiles: ReadonlyArray<string>
      readonly entrypoint: ReadonlyArray<string>
    }
    expect(job.profiles).toEqual(["first-admin"])
    // Words of `compose run` come behind these.
    expect(job.entrypoint).toEqual(["node", "--enable-source-maps", "job.js", "admin"])
    expect(job.secrets).toEqual(["service-credential.json"])
    expect(job.environment?.["IDENTITY_URL"]).toBe(
      processes.find(([name]) => name === "edge-1")?.[1].environment?.["IDENTITY_URL"],
    )
    await asksIdentity(withSecrets(job.environment ?? {}, new Set(job.secrets)))
  })

  it("Prometheus scrapes the ops port of each process", () => {
    const groups = JSON.parse(read("ops", "prometheus", "targets", "floodgate.json")) as ReadonlyArray<{
      targets: ReadonlyArray<string>
      labels: { job: Service }
    }>
    const wanted = processes.map(
      ([name]) => `${name}:${portOf(facts[name.replace(/-\d$/, "") as Service].opsPort)}`,
    )
    expect(groups.flatMap(({ targets }) => targets).sort()).toEqual(wanted.sort())
    for (const { targets, labels } of groups) {
      for (const target of targets) expect(target.startsWith(labels.job)).toBe(true)
    }
  })
})

describe("ops/kubernetes", () => {
  const folder = path.join(ops, "kubernetes")
  const resourcesOf = (of: string) =>
    (parse(fs.readFileSync(path.join(of, "kustomization.yaml"), "utf8")) as { resources: Array<string> })
      .resources
  const files = [
    ...resourcesOf(folder).map((file) => path.join(folder, file)),
    ...["jobs", "admin"].flatMap((of) =>
      resourcesOf(path.join(folder, of)).map((file) => path.join(folder, of, file)),
    ),
  ]
  const manifests = files.flatMap((file) =>
    parseAllDocuments(fs.readFileSync(file, "utf8")).map((one) => one.toJS() as Kubernetes.Manifest),
  )
  const named = (kind: string, name: string) =>
    manifests.find((one) => one.kind === kind && one.metadata.name === name) as any

  it("is what Kubernetes' schemas say, without an unknown field", () => {
    expect(manifests.flatMap(Kubernetes.problems)).toEqual([])
    const broken = structuredClone(named("Deployment", "edge"))
    broken.spec.template.spec.containers[0].imagee = "x"
    delete broken.spec.selector
    expect(Kubernetes.problems(broken).join("\n")).toMatch(/selector[\s\S]*imagee/)
  })

  it("each service has a deployment, a service, an autoscaler, a budget for disruptions, and a policy", () => {
    for (const kind of [
      "Deployment",
      "Service",
      "HorizontalPodAutoscaler",
      "PodDisruptionBudget",
      "NetworkPolicy",
    ]) {
      for (const name of deployed) expect(named(kind, name), `${kind} ${name}`).toBeDefined()
    }
    expect(named("NetworkPolicy", "default-deny").spec.podSelector).toEqual({})
  })

  it("each process starts with what it is told, listens where it is probed, and is given time to drain", async () => {
    const { data } = named("ConfigMap", "floodgate")
    for (const service of deployed) {
      const { spec, metadata } = named("Deployment", service).spec.template
      const [container] = spec.containers
      expect(container.args).toEqual([`${service}.js`])
      expect(imageOf(container.image).tag).toMatch(/^\d+\.\d+\.\d+$/)
      const mounted = new Set<string>(
        spec.volumes.flatMap((volume: any) => (volume.secret?.items ?? []).map((item: any) => item.key)),
      )
      const env = Object.fromEntries(container.env.map((one: any) => [one.name, one.value]))
      await startsInProd(service, withSecrets({ ...data, ...env }, mounted))

      const port = (name: string) =>
        container.ports.find((one: any) => one.name === name)?.containerPort as number | undefined
      const publicPort = service === "edge" ? "http" : "grpc"
      expect(port("ops")).toBe(portOf(facts[service].opsPort))
      expect(port(publicPort)).toBe(portOf(facts[service].port))
      expect(metadata.annotations["prometheus.io/port"]).toBe(String(port("ops")))
      expect(named("Service", service).spec.ports).toEqual([
        { name: publicPort, port: port(publicPort), targetPort: publicPort },
      ])
      expect(container.livenessProbe.httpGet).toEqual({ path: "/livez", port: "ops" })
      for (const probe of ["startupProbe", "readinessProbe"]) {
        expect(container[probe].httpGet).toEqual({ path: "/readyz", port: "ops" })
      }
      const preStopMs = Number(container.lifecycle.preStop.exec.command[1]) * 1000
      expect(spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(preStopMs + DRAIN_BOUND_MS)
      expect(container.securityContext).toMatchObject({
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
      })
      expect(spec.securityContext.runAsNonRoot).toBe(true)
    }
  })

  it("only the edge's public port is open to everybody", () => {
    for (const service of deployed) {
      for (const rule of named("NetworkPolicy", service).spec.ingress) {
        const open = rule.from === undefined
        expect(open).toBe(service === "edge" && rule.ports[0].port === "http")
      }
    }
  })

  it("the first administrator's job reaches identity, with nothing but the credential", async () => {
    const { data } = named("ConfigMap", "floodgate")
    const { spec, metadata } = named("Job", "first-admin").spec.template
    const [container] = spec.containers
    expect(container.args).toEqual(["job.js", "admin"])
    const [credential, who] = container.env
    expect(who).toEqual({
      name: "FIRST_ADMIN",
      valueFrom: { configMapKeyRef: { name: "first-admin", key: "username" } },
    })
    const mounted = new Set<string>(spec.volumes[0].secret.items.map((item: any) => item.key))
    expect([...mounted]).toEqual(["service-credential.json"])
    await asksIdentity(
      withSecrets({ ...data, [credential.name]: credential.value, FIRST_ADMIN: "somebody" }, mounted),
    )
    const [callers] = named("NetworkPolicy", "identity").spec.ingress
    expect(callers.from.map((one: any) => one.podSelector.matchLabels)).toContainEqual({
      "app.kubernetes.io/name": metadata.labels["app.kubernetes.io/name"],
    })
  })

  it("the peers' addresses are the services', and what prod has in common is told", () => {
    const { data } = named("ConfigMap", "floodgate")
    for (const service of deployed.filter((name) => name !== "edge")) {
      expect(data[`${service.toUpperCase()}_URL`]).toBe(`dns:///${service}:${portOf(facts[service].port)}`)
    }
    for (const [key, value] of EnvFile.parse(read("ops", "config", "prod.env")).values) {
      expect(data[key], key).toBe(value)
    }
  })
})

describe(".env.example", () => {
  const { values } = EnvFile.parse(read(".env.example"))
  /** Those of third parties' stand-ins are for dev. */
  const filled = [...values].filter(([key, value]) => value !== "" && !key.includes("SANDBOX"))

  it("names every key that a process needs", async () => {
    const made = new Set(fs.readdirSync(secrets))
    const env = withSecrets(Object.fromEntries(filled), made)
    for (const service of deployed) await startsInProd(service, env)
    const { KEY_ENCRYPTION_KEY_FILE: _, ...less } = env
    await expect(startsInProd("payment", less)).rejects.toThrow(/KEY_ENCRYPTION_KEY/)
  })

  it("every secret in it has its row in the guide about keys", () => {
    const guide = read("docs", "guides", "keys.md")
    const section = /^# --- Secrets -+$([\s\S]*?)^# --- /m.exec(read(".env.example"))?.[1] ?? ""
    const keys = [...section.matchAll(/^([A-Z_]+?)(?:_FILE)?=/gm)].map(([, key = ""]) => key)
    expect(keys.length).toBeGreaterThan(8)
    for (const key of keys) {
      // What says where something is holds no secret itself.
      if (key === "AUDIT_HEAD" || key === "AUDIT_PUBLIC_KEYS") continue
      const name = key.replace(/_SANDBOX$/, "_<CHANNEL>")
      expect(guide.includes(`\`${name}\``) || guide.includes(`\`${name}_FILE\``), name).toBe(true)
    }
  })
})

describe("ops/docker", () => {
  it("the Dockerfile has no mistake that a linter knows, runs as nobody special, and pins its base", () => {
    const text = read("ops", "docker", "Dockerfile")
    expect(validateDockerfile(text)).toEqual([])
    const from = [...text.matchAll(/^FROM (\S+)/gm)].map(([, image = ""]) => image)
    for (const image of from) expect(imageOf(image).tag).toMatch(/^\d+\.\d+\.\d+-/)
    expect(text).toMatch(/^USER node$/m)
  })

  it("secrets that are made once are kept", async () => {
    const before = fs.readFileSync(path.join(secrets, "mysql-url-edge"), "utf8")
    const { execFileSync } = await import("node:child_process")
    execFileSync(process.execPath, [path.join(ops, "docker", "secrets.mjs"), secrets])
    expect(fs.readFileSync(path.join(secrets, "mysql-url-edge"), "utf8")).toBe(before)
  })
})
