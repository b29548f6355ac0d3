package integration

import (
	"testing"

	"pbr/integration/lab"
)

// The guest's kernel has all that the tests there count on.
func TestVMKernelParts(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, lab.KernelParts()...)
}
