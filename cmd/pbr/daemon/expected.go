package daemon

import (
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// expected returns what a check accepts as an answer.
func expected(c policy.Check) healthcheck.Expect {
	return healthcheck.Expect{Statuses: c.Expect.Statuses, Body: c.Expect.Body, Address: c.Expect.Address, Name: c.Name}
}
