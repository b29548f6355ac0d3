package cost

import "fmt"

// workload is what a policy has: so many policies, or one by a list of so many addresses.
type workload struct{ policies, addresses int }

func (w workload) String() string {
	if w.addresses > 0 {
		return fmt.Sprintf("a list of %s addresses", thousands(w.addresses))
	}
	return thousands(w.policies) + " policies"
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
