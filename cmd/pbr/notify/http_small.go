//go:build small

package notify

import (
	"context"
	"errors"

	"pbr/compiler/policy"
)

// postHTTP posts nothing: the policy file was refused that asks for it.
func postHTTP(context.Context, *policy.Notify, []byte) error {
	return &serverError{errors.New("notify is not built in")}
}

func server(*policy.Notify) string { return "" }
