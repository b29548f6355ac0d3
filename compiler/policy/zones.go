//go:build !small

package policy

import _ "time/tzdata" // routers without a zone database know the zones all the same
