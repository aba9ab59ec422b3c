/** Signing in, and making an account. */
import { useMutation } from "@tanstack/react-query"
import { useNavigate, useSearch } from "@tanstack/react-router"
import { useState } from "react"
import {
  Button,
  FieldError,
  Form,
  Input,
  Label,
  Tab,
  TabList,
  TabPanel,
  Tabs,
  Text,
  TextField,
} from "react-aria-components"
import { useTranslations } from "use-intl"
import { signIn, signUp } from "../../session/Session.ts"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { Titled } from "../parts/Titled.tsx"

type Mode = "in" | "up"

const Fields = ({ mode, next }: { readonly mode: Mode; readonly next: string }) => {
  const t = useTranslations("sign")
  const navigate = useNavigate()
  const enter = useMutation({
    mutationFn: ({ password, username }: { readonly username: string; readonly password: string }) =>
      mode === "in" ? signIn(username, password) : signUp(username, password),
    onSuccess: () => void navigate({ to: next, replace: true }),
  })
  return (
    <Form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        const fields = new FormData(event.currentTarget)
        enter.mutate({ username: String(fields.get("username")), password: String(fields.get("password")) })
      }}
    >
      <TextField
        name="username"
        autoComplete="username"
        isRequired
        validate={(text) => (/^\w{3,32}$/.test(text) ? null : t("invalidName"))}
      >
        <Label>{t("username")}</Label>
        <Input autoCapitalize="none" spellCheck="false" />
        {mode === "up" && (
          <Text slot="description" className="fine">
            {t("usernameHelp")}
          </Text>
        )}
        <FieldError className="wrong">{t("invalidName")}</FieldError>
      </TextField>
      <TextField
        name="password"
        type="password"
        autoComplete={mode === "in" ? "current-password" : "new-password"}
        isRequired
        validate={(text) => (text.length >= 8 && text.length <= 128 ? null : t("invalidPassword"))}
      >
        <Label>{t("password")}</Label>
        <Input />
        {mode === "up" && (
          <Text slot="description" className="fine">
            {t("passwordHelp")}
          </Text>
        )}
        <FieldError className="wrong">{t("invalidPassword")}</FieldError>
      </TextField>
      {enter.error !== null && <ErrorNote error={enter.error} />}
      <Button className="button go" type="submit" isDisabled={enter.isPending}>
        {enter.isPending ? t("busy") : mode === "in" ? t("submitIn") : t("submitUp")}
      </Button>
    </Form>
  )
}

export const SignIn = () => {
  const t = useTranslations("sign")
  const { next } = useSearch({ from: "/s/sign-in" })
  const [mode, setMode] = useState<Mode>("in")
  return (
    <div className="narrow small">
      <Titled title={mode === "in" ? t("in") : t("up")} />
      <p>{t("why")}</p>
      <Tabs selectedKey={mode} onSelectionChange={(key) => setMode(key as Mode)}>
        <TabList className="tabs" aria-label={t("in")}>
          <Tab id="in">{t("inTab")}</Tab>
          <Tab id="up">{t("upTab")}</Tab>
        </TabList>
        <TabPanel id="in">
          <Fields mode="in" next={next} />
        </TabPanel>
        <TabPanel id="up">
          <Fields mode="up" next={next} />
        </TabPanel>
      </Tabs>
    </div>
  )
}
