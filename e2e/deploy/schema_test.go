//go:build e2e

package deploy

// What of Kubernetes' objects the manifests use: a field that is not here is a mistake in them, or has to be thought about here.
type (
	words map[string]string

	meta struct {
		Name        string
		Labels      words
		Annotations words
	}
	labelled struct{ MatchLabels words }

	namespace struct {
		APIVersion, Kind string
		Metadata         meta
	}

	kustomization struct {
		APIVersion, Kind, Namespace string
		Resources                   []string
		ConfigMapGenerator          []struct {
			Name  string
			Files []string
		}
		Images []struct{ Name, NewName, NewTag string }
	}

	service struct {
		APIVersion, Kind string
		Metadata         meta
		Spec             struct {
			Type, ExternalTrafficPolicy, ClusterIP string
			Selector                               words
			Ports                                  []struct {
				Name       string
				Port       int
				TargetPort string
			}
		}
	}

	policyPort struct {
		Protocol string
		Port     any // a number or a name
	}
	networkPolicy struct {
		APIVersion, Kind string
		Metadata         meta
		Spec             struct {
			PodSelector labelled
			PolicyTypes []string
			Ingress     []struct {
				From  []struct{ PodSelector, NamespaceSelector *labelled }
				Ports []policyPort
			}
			Egress []struct{ Ports []policyPort }
		}
	}

	disruptionBudget struct {
		APIVersion, Kind string
		Metadata         meta
		Spec             struct {
			MaxUnavailable int
			Selector       labelled
		}
	}

	serviceMonitor struct {
		APIVersion, Kind string
		Metadata         meta
		Spec             struct {
			Selector  labelled
			Endpoints []struct{ Port, Path, Interval string }
		}
	}

	statefulSet struct {
		APIVersion, Kind string
		Metadata         meta
		Spec             struct {
			Replicas                             int
			ServiceName                          string
			Selector                             labelled
			PersistentVolumeClaimRetentionPolicy struct{ WhenDeleted, WhenScaled string }
			VolumeClaimTemplates                 []struct {
				Metadata meta
				Spec     struct {
					AccessModes []string
					Resources   struct{ Requests words }
				}
			}
			Template struct {
				Metadata meta
				Spec     podSpec
			}
		}
	}

	podSpec struct {
		AutomountServiceAccountToken, EnableServiceLinks *bool
		TerminationGracePeriodSeconds                    int
		SecurityContext                                  struct {
			RunAsNonRoot                   bool
			RunAsUser, RunAsGroup, FsGroup int
			FsGroupChangePolicy            string
			SeccompProfile                 struct{ Type string }
		}
		Containers []container
		Volumes    []struct {
			Name      string
			ConfigMap *struct{ Name string }
			Secret    *struct {
				SecretName  string
				DefaultMode int
			}
		}
	}

	container struct {
		Name, Image string
		Args        []string
		Env         []struct{ Name, Value string }
		Ports       []struct {
			Name          string
			ContainerPort int
		}
		LivenessProbe, ReadinessProbe, StartupProbe probe
		Resources                                   struct{ Requests, Limits words }
		SecurityContext                             struct {
			AllowPrivilegeEscalation *bool
			ReadOnlyRootFilesystem   bool
			Capabilities             struct{ Drop []string }
		}
		VolumeMounts []struct {
			Name, MountPath string
			ReadOnly        bool
		}
	}

	probe struct {
		HTTPGet                                         struct{ Path, Port string }
		PeriodSeconds, TimeoutSeconds, FailureThreshold int
	}
)
