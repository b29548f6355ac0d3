package conntrack

// ListAll lists all connections, of both IP versions.
func ListAll() ([]Flow, error) {
	c, err := Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return List(c, All())
}

// RemoveAll deletes connections by their ids, so that none hits a successor with the same addresses and ports, and returns how many there
// still were.
func RemoveAll(flows []Flow) (int, error) {
	c, err := Dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	n := 0
	for i := range flows {
		found, err := flows[i].Remove(c)
		if err != nil {
			return n, err
		}
		if found {
			n++
		}
	}
	return n, nil
}
