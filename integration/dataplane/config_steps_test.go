package dataplane

import "testing"

// steps takes pbr with 1,000 policies apart: each row lacks one thing more than the one before.
func steps() []config {
	whole := pbrSetUp{1000, 2, ""}
	list := []config{configs()[1], whole.config()}
	var taken []func(*router)
	for _, s := range []struct {
		name string
		take func(*router)
	}{
		{"... without the reverse look-up (accept_local)", func(r *router) { r.Sysctl("net/ipv4/conf/all/accept_local", "1") }},
		{"... without the policies", flush("classify-4", "classify-6")},
		{"... without the checks before them", flush("first", "first-known", "first-known-6")},
		{"... without pinning behind routing", flush("postrouting")},
		{"... without the rest of the table but NAT", flush("prerouting")},
	} {
		taken = append(taken, s.take)
		all := taken[:len(taken):len(taken)]
		c := whole.config()
		c.name, c.series, c.steers = s.name, "", len(all) == 1
		whole := c.setUp
		c.setUp = func(t testing.TB, r *router, selected []selector) {
			t.Helper()
			whole(t, r, selected)
			for _, take := range all {
				take(r)
			}
		}
		list = append(list, c)
	}
	return list
}

// flush empties chains of pbr's.
func flush(chains ...string) func(*router) {
	return func(r *router) {
		for _, chain := range chains {
			r.Run("nft", "flush", "chain", "inet", "pbr", chain)
		}
	}
}
