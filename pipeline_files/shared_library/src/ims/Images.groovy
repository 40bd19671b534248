// Checks the names and tags of images.
package ims

/** Serializable, so that a build survives a restart of Jenkins. */
class Images implements Serializable {

    private static final long serialVersionUID = 1L

    /** Returns why a tag cannot be deployed, or an empty text if it can. The build job pushes full commit ids only. */
    static String tagObjection(String tag) {
        if (tag ==~ /[0-9a-f]{40}/) {
            return ''
        }
        return 'TAG must be the full commit id that the build job has pushed, 40 characters of 0-9 and a-f; ' +
            "it is '${tag ?: ''}'"
    }

    /** Returns why this is not a registry (a host with an optional port and path), or an empty text if it is one. */
    static String registryObjection(String registry) {
        if (registry ==~ /[a-z0-9][a-z0-9.-]*(:[0-9]+)?(\/[a-z0-9._-]+)*/) {
            return ''
        }
        return 'IMS_REGISTRY must be a host, as in registry.example.org:5000/team, without https:// and final slash; ' +
            "it is '${registry ?: ''}'"
    }

}
