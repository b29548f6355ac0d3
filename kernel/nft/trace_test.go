package nft

import "testing"

// A rule's comment names the process that traces; what only looks like it names nobody.
func TestTraceOwner(t *testing.T) {
	owner := TraceOwner{PID: 4711, Start: "123456"}
	if o, ok := readTraceOwner(owner.comment()); !ok || o != owner {
		t.Errorf("%q names %+v, %v", owner.comment(), o, ok)
	}
	for _, comment := range []string{
		"", "policy process", "pbr trace, process x, started 1", "pbr trace, process 1, started ", "pbr trace, process 1, started 2 3",
		"trace, process 1, started 2", "pbr trace, process 01, started 2", "pbr trace, process 1",
	} {
		if o, ok := readTraceOwner(comment); ok {
			t.Errorf("%q names %+v", comment, o)
		}
	}
}
