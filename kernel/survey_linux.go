package kernel

import "pbr/kernel/facts"

// Survey reads what a first policy can be written from. It changes nothing. What only root can read
// is listed in Unknown for others.
func (k *Kernel) Survey() (*facts.Survey, error) {
	s, err := k.route.Survey()
	if err != nil {
		return nil, err
	}
	if err := mayAdminister(); err != nil {
		s.Unknown = append(s.Unknown, facts.Unknown{What: "NAT rules of others", Why: err.Error()})
		return s, nil
	}
	o, err := k.nft.Others(k.route.LinkName)
	if err != nil {
		s.Unknown = append(s.Unknown, facts.Unknown{What: "NAT rules of others", Why: err.Error()})
		return s, nil
	}
	s.SourceNAT = o.SourceNAT
	for _, t := range o.Translations {
		s.Fixed = append(s.Fixed, facts.SourceNAT{Table: t.Table, OIF: t.OIF})
	}
	return s, nil
}
