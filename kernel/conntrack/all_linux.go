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

// RemoveAll deletes connections by their ids, so that none hits a successor with the same addresses
// and ports, and returns how many there still were.
func RemoveAll(flows []Flow) (int, error) {
	c, err := Dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	each := make([]*Flow, len(flows))
	for i := range flows {
		each[i] = &flows[i]
	}
	return RemoveEach(c, each)
}
