// Refuses to begin a build that could not push what it builds.
import ims.Images

void call(Map config = [:]) {
    Map settings = [registry: env.IMS_REGISTRY] + config
    String objection = Images.registryObjection(settings.registry)
    if (objection) {
        error objection
    }
}
