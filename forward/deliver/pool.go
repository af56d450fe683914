package deliver

type pool struct{}
type families struct{}
type memory struct{}
