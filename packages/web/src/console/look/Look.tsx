/** antd in the storefront's colours, light or dark as the system is, and in the language of the page. */
import { App, ConfigProvider, type ConfigProviderProps, type ThemeConfig, theme } from "antd"
import enUS from "antd/es/locale/en_US.js"
import zhCN from "antd/es/locale/zh_CN.js"
import { type ReactNode, useSyncExternalStore } from "react"
import { type Language, useLanguage } from "../../texts/Language.tsx"

// Its types take these ES modules for CommonJS.
const locales = { en: enUS, zh: zhCN } as unknown as Readonly<
  Record<Language, NonNullable<ConfigProviderProps["locale"]>>
>

const FONT = `"Avenir Next", "Segoe UI", system-ui, "PingFang SC", "Hiragino Sans GB", "Noto Sans SC",
  "Noto Sans CJK SC", "Microsoft YaHei", "WenQuanYi Zen Hei", sans-serif`

// antd's own soft texts are too faint to be read by everybody (WCAG 1.4.3).
const light: ThemeConfig = {
  token: {
    fontFamily: FONT,
    borderRadius: 8,
    colorPrimary: "#0d5c63",
    colorInfoBg: "#e6f1f1",
    colorInfoBorder: "#b5d3d3",
    colorSuccessBg: "#e4f4ea",
    colorSuccessBorder: "#a9d8ba",
    colorWarningBg: "#fdf3dc",
    colorWarningBorder: "#ecd08f",
    colorErrorBg: "#fdece7",
    colorErrorBorder: "#f0b8a8",
    colorLink: "#0d5c63",
    colorInfo: "#0d5c63",
    colorError: "#b3261e",
    colorSuccess: "#17603a",
    colorWarning: "#8a5300",
    colorBgLayout: "#f4f6f4",
    colorTextBase: "#10262a",
    colorTextSecondary: "#4a6065",
    colorTextDescription: "#4a6065",
    colorTextTertiary: "#4a6065",
    colorTextPlaceholder: "#5f7378",
  },
}

const dark: ThemeConfig = {
  algorithm: theme.darkAlgorithm,
  components: { Button: { dangerColor: "#1d0d08" } },
  token: {
    fontFamily: FONT,
    borderRadius: 8,
    colorPrimary: "#2f8f8c",
    colorInfoBg: "#10282c",
    colorInfoBorder: "#2b555a",
    colorSuccessBg: "#102a1c",
    colorSuccessBorder: "#275c3e",
    colorWarningBg: "#2e2411",
    colorWarningBorder: "#6b5320",
    colorErrorBg: "#341712",
    colorErrorBorder: "#7a3325",
    colorLink: "#7fd4cf",
    colorInfo: "#7fd4cf",
    colorError: "#e5806c",
    colorSuccess: "#6cc48e",
    colorWarning: "#dba84f",
    colorBgBase: "#0b1517",
    colorBgLayout: "#0b1517",
    colorBgContainer: "#132124",
    colorBgElevated: "#1a2b2f",
    colorTextBase: "#e9f2f0",
    colorTextSecondary: "#a3b8b8",
    colorTextDescription: "#a3b8b8",
    colorTextTertiary: "#a3b8b8",
    colorTextPlaceholder: "#8ea5a5",
  },
}

const darkness = matchMedia("(prefers-color-scheme: dark)")

const onDarkness = (listener: () => void): (() => void) => {
  darkness.addEventListener("change", listener)
  return () => darkness.removeEventListener("change", listener)
}

const isDark = (): boolean => darkness.matches

export const Look = ({ children }: { readonly children: ReactNode }) => {
  const { language } = useLanguage()
  const atNight = useSyncExternalStore(onDarkness, isDark)
  return (
    <ConfigProvider
      locale={locales[language]}
      theme={atNight ? dark : light}
      button={{ autoInsertSpace: false }}
    >
      <App component={false} message={{ maxCount: 3 }}>
        {children}
      </App>
    </ConfigProvider>
  )
}
