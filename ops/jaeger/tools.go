//go:build tools

// Package tools pins the Jaeger collector and query API that the stack builds on request
// (`pnpm start --jaeger`) on machines that have Go but no jaeger binary.
package tools

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
