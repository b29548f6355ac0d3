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

// RemoveAll deletes connections by their ids, so that it never deletes a successor with the same
// addresses and ports. It returns how many still existed.
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
